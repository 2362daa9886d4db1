"""Every way in which a configuration can be wrong, and what the operator reads then.

The message is an interface: it is compared word for word.
"""

from pathlib import Path

import pytest

from exporter.config import parse_config
from exporter.errors import ConfigError

ACCOUNT = """\
accounts:
  - endpoint: https://hpc.api.example.com
    access_key_id: KEYID
    secret_access_key: HUSH
"""
TWO_ACCOUNTS = """\
accounts:
  - name: east
    endpoint: https://hpc.api.example.com
    access_key_id: KEYID
    secret_access_key: HUSH
  - name: west
    endpoint: https://hpc.api.example.com
    access_key_id: KEYID
    secret_access_key: HUSH
"""
CLUSTER = """\
clusters:
  - cluster_id: ehpc-1
    zone: jinan1a
"""
GOOD = ACCOUNT + CLUSTER


def problems_of(text: str, directory: Path, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse_config(text, environ, directory)
    return [str(problem) for problem in caught.value.problems]


CASES: dict[str, tuple[str, list[str]]] = {
    # labels
    "labels of a cluster": (
        ACCOUNT
        + "clusters: [{cluster_id: a, zone: z, labels: {9: x, __a: x, zone_id: x, job: x, ok: 1}}]\n",
        [
            (
                "clusters[0].labels.ok: must be a text (in quotes if it looks like something else), not a"
                " number (line 5)"
            ),
            (
                'clusters[0].labels: "9" is not a label name: only letters, digits and _, not beginning'
                " with a digit or __ (line 5)"
            ),
            (
                'clusters[0].labels: "__a" is not a label name: only letters, digits and _, not beginning'
                " with a digit or __ (line 5)"
            ),
            'clusters[0].labels: "zone_id" is a label that ehpc_cluster_info or Prometheus already uses (line 5)',
            'clusters[0].labels: "job" is a label that ehpc_cluster_info or Prometheus already uses (line 5)',
        ],
    ),
    "a filter": (
        GOOD + "labels: {user: {include: ['(']}, queue: {exclude: x}}\n",
        [
            (
                'labels.user.include[0]: "(" is not a pattern: missing ), unterminated subpattern at position 0'
                " (line 8)"
            ),
            "labels.queue.exclude: must be a list, not a text (line 8)",
        ],
    ),
    "no file of groups": (
        GOOD + "labels: {user: {groups_file: nowhere.csv}}\n",
        ["labels.user.groups_file: nowhere.csv: cannot be read: No such file or directory"],
    ),
    # the file as a whole
    "empty": ("", ["the file is empty; config.example.yaml shows all keys"]),
    "only a comment": (
        "# nothing\n",
        ["the file is empty; config.example.yaml shows all keys"],
    ),
    "a list": ("- 1\n", ["must be a mapping, not a list (line 1)"]),
    "a text": ("hello\n", ["must be a mapping, not a text (line 1)"]),
    "open bracket": (
        "accounts: [\n",
        ["not YAML: expected the node content, but found '<stream end>' (line 2)"],
    ),
    "a tab": (
        "accounts:\n\t- x\n",
        ["not YAML: found character '\\t' that cannot start any token (line 2)"],
    ),
    "two colons": ("a: b: c\n", ["not YAML: mapping values are not allowed here (line 1)"]),
    "a control character": ("accounts:\n\x07", ["not YAML: a control character (line 2)"]),
    "no character": ('x: "\\UFFFFFFFF"', ["not YAML"]),
    "a text that looks like an alias": (
        "secret_access_key: *HUSH\n",
        ["not YAML: a text that begins with *, & or ! must be in quotes (line 1)"],
    ),
    "aliases that multiply": (
        "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
        + "".join(
            f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n"
            for before, name in zip("abcdef", "bcdefg", strict=True)
        ),
        ["not a configuration: its aliases multiply it beyond measure"],
    ),
    "an alias within itself": (
        "accounts: &a [*a]\n",
        ["not a configuration: its aliases multiply it beyond measure"],
    ),
    "a merge key": (
        "x: &x {zone: z}\naccounts:\n  - <<: *x\n" + CLUSTER,
        [
            "x: unknown key; known here: accounts, clusters, collection, state, labels, links (line 1)",
            "accounts[0]: << is a merge key, which is not supported; write the keys out (line 3)",
            "accounts[0].endpoint: is missing (line 3)",
            "accounts[0]: needs an access_key_id or an access_key_id_file (line 3)",
            "accounts[0]: needs a secret_access_key or a secret_access_key_file (line 3)",
        ],
    ),
    "two documents": ("--- {}\n--- {}\n", ["not YAML: it holds more than one document (line 2)"]),
    "deep": ("[" * 3000, ["not a configuration: nested too deeply"]),
    "large": ("#" * (1 << 20) + "#", ["the file is too large for a configuration"]),
    # missing, unknown, twice
    "nothing said": ("{}", ["accounts: is missing (line 1)", "clusters: is missing (line 1)"]),
    "no clusters": (ACCOUNT, ["clusters: is missing (line 1)"]),
    "null accounts": ("accounts:\n" + CLUSTER, ["accounts: must be a list, not nothing (line 1)"]),
    "empty list": (
        ACCOUNT + "clusters: []\n",
        ["clusters: is empty; at least one is needed (line 5)"],
    ),
    "account a mapping": (
        "accounts: {name: x}\n" + CLUSTER,
        ["accounts: must be a list, not a mapping (line 1)"],
    ),
    "list entry a text": (
        ACCOUNT + "clusters: [ehpc-1]\n",
        ["clusters[0]: must be a mapping, not a text (line 5)"],
    ),
    "missing in an entry": (
        ACCOUNT + "clusters:\n  - cluster_id: ehpc-1\n",
        ["clusters[0].zone: is missing (line 6)"],
    ),
    "missing keys": (
        "accounts:\n  - endpoint: https://a.example.com\n" + CLUSTER,
        [
            "accounts[0]: needs an access_key_id or an access_key_id_file (line 2)",
            "accounts[0]: needs a secret_access_key or a secret_access_key_file (line 2)",
        ],
    ),
    "misspelt": (
        GOOD.replace("zone:", "zonne:"),
        [
            "clusters[0].zone: is missing (line 6)",
            'clusters[0].zonne: unknown key; did you mean "zone"? (line 7)',
        ],
    ),
    "misplaced": (
        GOOD + "staleness: 5m\n",
        ["staleness: unknown key here; it belongs under clusters[] or collection (line 8)"],
    ),
    "unlike anything": (
        GOOD + "state:\n  xyz: 1\n",
        ["state.xyz: unknown key; known here: path (line 9)"],
    ),
    "no space after the colon": (
        CLUSTER + "accounts: [{endpoint: 'https://a.example.com', access_key_id: k, "
        "secret_access_key:HUSH}]\n",
        [
            (
                'accounts[0].?: unknown key; a space must follow the colon of "secret_access_key:" '
                "(line 4)"
            ),
            "accounts[0]: needs a secret_access_key or a secret_access_key_file (line 4)",
        ],
    ),
    "twice": (
        GOOD + "    zone: jinan1b\n",
        ["clusters[0].zone: is there twice, first on line 7 (line 8)"],
    ),
    "twice at the top": (
        GOOD + CLUSTER,
        ["clusters: is there twice, first on line 5 (line 8)"],
    ),
    # types
    "number for a text": (
        GOOD.replace("jinan1a", "12"),
        [
            (
                "clusters[0].zone: must be a text (in quotes if it looks like something else), "
                "not a number (line 7)"
            )
        ],
    ),
    "truth for a text": (
        GOOD + "state: {path: true}\n",
        [
            (
                "state.path: must be a text (in quotes if it looks like something else), "
                "not true or false (line 8)"
            )
        ],
    ),
    "null for a text": (
        GOOD.replace(" jinan1a", ""),
        [
            (
                "clusters[0].zone: must be a text (in quotes if it looks like something else), "
                "not nothing (line 7)"
            )
        ],
    ),
    "list for a text": (
        GOOD.replace("jinan1a", "[jinan1a]"),
        [
            (
                "clusters[0].zone: must be a text (in quotes if it looks like something else), "
                "not a list (line 7)"
            )
        ],
    ),
    "text for a number": (
        GOOD + "labels: {user: {limit: many}, queue: {limit: '7'}}\n",
        [
            "labels.user.limit: must be a whole number, not a text (line 8)",
            "labels.queue.limit: must be a whole number, not a text (line 8)",
        ],
    ),
    "fraction for a whole number": (
        GOOD + "labels: {user: {limit: 1.5}}\n",
        ["labels.user.limit: must be a whole number, not a fraction (line 8)"],
    ),
    "truth for a number": (
        ACCOUNT + "    quota: {share: true}\n" + CLUSTER,
        ["accounts[0].quota.share: must be a number, not true or false (line 5)"],
    ),
    "a tag": (
        GOOD.replace("jinan1a", "!env ZONE"),
        ["clusters[0].zone: has a tag that means nothing here (line 7)"],
    ),
    "a tag that does not fit": (
        GOOD.replace("jinan1a", "!!int jinan1a"),
        ["clusters[0].zone: has a tag that means nothing here (line 7)"],
    ),
    "a tag on a mapping, on a list and on a key": (
        ACCOUNT
        + "    quota: !mine {share: 0.5}\n"
        + CLUSTER.replace("clusters:", "clusters: !mine")
        + "!mine labels: {}\n",
        [
            "accounts[0].quota: has a tag that means nothing here (line 5)",
            "clusters: has a tag that means nothing here (line 6)",
            "labels: has a tag that means nothing here (line 9)",
        ],
    ),
    "a tag on the whole": ("!mine\n" + GOOD, ["has a tag that means nothing here (line 1)"]),
    "tags that fit": (
        "!!map\n" + GOOD.replace("jinan1a", "!!str jinan1a") + "collection: !!seq []\n",
        ["collection: must be a mapping, not a list (line 9)"],
    ),
    "a tag on a list": (
        ACCOUNT + "clusters: !include x\n",
        ["clusters: must be a list, not a text with a tag (line 5)"],
    ),
    "empty text": (GOOD.replace("KEYID", "''"), ["accounts[0].access_key_id: is empty (line 3)"]),
    "half a character": (
        GOOD + '    name: "\\ud800"\n',
        ["clusters[0].name: holds a character that is no text (line 8)"],
    ),
    # ranges and forms
    "share of nothing": (
        ACCOUNT + "    quota: {share: 0}\n" + CLUSTER,
        ["accounts[0].quota.share: must be more than 0, not 0 (line 5)"],
    ),
    "share of more than all": (
        ACCOUNT + "    quota: {share: 50}\n" + CLUSTER,
        ["accounts[0].quota.share: must be at most 1, not 50 (line 5)"],
    ),
    "no requests": (
        ACCOUNT + "    quota: {requests: 0, period: 0s}\n" + CLUSTER,
        [
            "accounts[0].quota.requests: must be at least 1, not 0 (line 5)",
            'accounts[0].quota.period: "0s" is too short; it must be more than 0s (line 5)',
        ],
    ),
    "negative limit": (
        GOOD + "labels: {queue: {limit: -1}}\n",
        ["labels.queue.limit: must be at least 0, not -1 (line 8)"],
    ),
    "user mode": (
        GOOD + "labels: {user: {mode: names}}\n",
        ['labels.user.mode: "names" must be hash, name or off; did you mean "name"? (line 8)'],
    ),
    "both forms of both keys": (
        ACCOUNT + "    access_key_id_file: good\n    secret_access_key_file: good\n" + CLUSTER,
        [
            (
                "accounts[0].access_key_id_file: cannot be given together with access_key_id "
                "(line 5)"
            ),
            (
                "accounts[0].secret_access_key_file: cannot be given together with "
                "secret_access_key (line 6)"
            ),
        ],
    ),
    "keys that are blank, or two lines": (
        GOOD.replace("KEYID", "' '").replace("HUSH", '"HUSH\\nHUSH"'),
        [
            "accounts[0].access_key_id: is empty (line 3)",
            (
                "accounts[0].secret_access_key: has more than one line; it must contain only the key"
                " (line 4)"
            ),
        ],
    ),
    "a variable without braces": (
        GOOD.replace("KEYID", "$EHPC_SECRET_ACCESS_KEY").replace("jinan1a", "zone-$ZONE"),
        [
            (
                "accounts[0].access_key_id: has $ without braces; write ${EHPC_SECRET_ACCESS_KEY}, "
                "or $$ for a plain $ (line 3)"
            ),
            ("clusters[0].zone: has $ without braces; write ${NAME}, or $$ for a plain $ (line 7)"),
        ],
    ),
    "interval without a unit": (
        GOOD + "    interval: 60\n",
        ["clusters[0].interval: 60 is not a duration; write 60s (line 8)"],
    ),
    "a number in quotes for an interval": (
        GOOD + "collection: {interval: '60', staleness: 300}\n",
        [
            'collection.interval: "60" is not a duration; write 60s (line 8)',
            "collection.staleness: 300 is not a duration; write 300s (line 8)",
        ],
    ),
    "a fraction for an interval": (
        GOOD + "collection: {interval: 1.5}\n",
        [
            (
                "collection.interval: 1.5 is not a duration; write it as 30s, 5m, 1h30m or 30d "
                "(line 8)"
            )
        ],
    ),
    "a number for a URL": (
        GOOD.replace("https://hpc.api.example.com", "80"),
        ["accounts[0].endpoint: must be a URL such as https://hpc.api.qingcloud.com (line 2)"],
    ),
    "interval in words": (
        GOOD + "    interval: 5 minutes\n",
        [
            (
                'clusters[0].interval: "5 minutes" is not a duration; write it as 30s, 5m, 1h30m or '
                "30d (line 8)"
            )
        ],
    ),
    "interval too short": (
        GOOD + "collection: {interval: 500ms}\n",
        ['collection.interval: "500ms" is too short; the shortest interval is 1s (line 8)'],
    ),
    "interval too long": (
        GOOD + "collection: {interval: 101y}\n",
        ['collection.interval: "101y" is too long; the longest duration is 100y (line 8)'],
    ),
    "history": (
        GOOD + "collection: {history: some}\n",
        ['collection.history: "some" must be all, none, or a duration such as 30d (line 8)'],
    ),
    "time zone": (
        GOOD + "    timezone: Asia/Shangai\n",
        [
            (
                'clusters[0].timezone: "Asia/Shangai" is not a known time zone; did you mean '
                '"Asia/Shanghai"? (line 8)'
            )
        ],
    ),
    "time zone unlike any": (
        GOOD + "    timezone: '+08:00'\n",
        [('clusters[0].timezone: "+08:00" is not a known time zone; write Asia/Shanghai (line 8)')],
    ),
    **{
        f"time zone {written}": (
            GOOD + f"    timezone: {written}\n",
            [f'clusters[0].timezone: "{written}" is not a known time zone; write {zone} (line 8)'],
        )
        for written, zone in {
            "UTC+8": "Asia/Shanghai",
            "UTC +8": "Asia/Shanghai",
            "UTC\uff0b8": "Asia/Shanghai",
            "CST": "Asia/Shanghai",
            "Asia/Beijing": "Asia/Shanghai",
            "utc+08:00": "Asia/Shanghai",
            "GMT+0800": "Asia/Shanghai",
            "UTC+10": "Etc/GMT-10",
            "UTC-5": "Etc/GMT+5",
            "UTC-8": "Etc/GMT+8",
            "UTC\u22128": "Etc/GMT+8",
            "UTC+14": "Etc/GMT-14",
            "UTC-12": "Etc/GMT+12",
            "+00:00": "UTC",
            "UTC-0": "UTC",
            "utc": "UTC",
            "Z": "UTC",
            # Where none can be meant, only the form is shown.
            "UTC+15": "it as Asia/Shanghai",
            "UTC-13": "it as Asia/Shanghai",
            "gmt+19": "it as Asia/Shanghai",
            "Etc/GMT-15": "it as Asia/Shanghai",
            "GMT+0530": "it as Asia/Shanghai",
            "UTC+1.5": "it as Asia/Shanghai",
            "UTC8": "it as Asia/Shanghai",
        }.items()
    },
    "a discovery of nothing": (
        ACCOUNT + "    discovery: {zones: [], include: ['['], interval: 1ms}\n",
        [
            "accounts[0].discovery.zones: is empty; at least one is needed (line 5)",
            (
                'accounts[0].discovery.include[0]: "[" is not a pattern: unterminated character set at '
                "position 0 (line 5)"
            ),
            (
                'accounts[0].discovery.interval: "1ms" is too short; the shortest interval is 1s '
                "(line 5)"
            ),
        ],
    ),
    "a discovery without zones, and no clusters": (
        ACCOUNT + "    discovery: {}\nclusters: []\n",
        ["accounts[0].discovery.zones: is missing (line 5)"],
    ),
    "a queue's capacity": (
        GOOD + "    queues: {gpu: {cores: -1}, gpu: {}, cpu: 7, 大内存: {core: 5}}\n",
        [
            "clusters[0].queues.gpu.cores: must be at least 0, not -1 (line 8)",
            "clusters[0].queues.gpu: is there twice, first on line 8 (line 8)",
            "clusters[0].queues.cpu: must be a mapping, not a number (line 8)",
            'clusters[0].queues.大内存.core: unknown key; did you mean "cores"? (line 8)',
        ],
    ),
    "queues as a list": (
        GOOD + "    queues: [gpu]\n",
        ["clusters[0].queues: must be a mapping, not a list (line 8)"],
    ),
    "capacity now and then": (
        GOOD + "collection: {capacity_interval: never}\n",
        [
            'collection.capacity_interval: "never" is not a duration; write it as 30s, 5m, 1h30m or 30d (line 8)'
        ],
    ),
    "a number for a time zone": (
        GOOD + "    timezone: +8\n",
        ["clusters[0].timezone: +8 is not a known time zone; write Asia/Shanghai (line 8)"],
    ),
    "time zone outside": (
        GOOD + "    timezone: ../../etc/passwd\n",
        [
            (
                'clusters[0].timezone: "../../etc/passwd" is not a known time zone; write it as '
                "Asia/Shanghai (line 8)"
            )
        ],
    ),
    "zone with a blank": (
        GOOD.replace("jinan1a", "jinan 1a"),
        ['clusters[0].zone: "jinan 1a" must not be empty or contain white space (line 7)'],
    ),
    # the endpoint: may hold a password by mistake, and is never quoted
    "endpoint without a scheme": (
        GOOD.replace("https://", ""),
        ["accounts[0].endpoint: must be a URL such as https://hpc.api.qingcloud.com (line 2)"],
    ),
    "endpoint of another scheme": (
        GOOD.replace("https://", "ftp://"),
        ["accounts[0].endpoint: must be a URL such as https://hpc.api.qingcloud.com (line 2)"],
    ),
    "endpoint with a bad port": (
        GOOD.replace(".com", ".com:https"),
        ["accounts[0].endpoint: must be a URL such as https://hpc.api.qingcloud.com (line 2)"],
    ),
    "endpoint with a line break": (
        GOOD.replace("https://hpc.api.example.com", '"https://hpc.api\\n.example.com"'),
        ["accounts[0].endpoint: must be a URL such as https://hpc.api.qingcloud.com (line 2)"],
    ),
    "endpoint with a password": (
        GOOD.replace("https://", "https://me:HUSH@"),
        [
            (
                "accounts[0].endpoint: must not contain a user or password; keys go into access_key_id "
                "and secret_access_key (line 2)"
            )
        ],
    ),
    "endpoint with a query": (
        GOOD.replace(".com", ".com/?signature=HUSH"),
        ["accounts[0].endpoint: must not contain a query or fragment (line 2)"],
    ),
    # what looks right, and is not
    "invisible characters": (
        GOOD.replace("zone: jinan1a", 'zone: "jinan1a\\u200b"').replace("HUSH", '"HU\\u200bSH"')
        + '    account: "c\\u202efd"\n',
        [
            (
                "accounts[0].secret_access_key: contains an invisible character, such as from a web page;"
                " type it anew (line 4)"
            ),
            (
                'clusters[0].zone: "jinan1a\\u200b" contains an invisible character, such as from a web page;'
                " type it anew (line 7)"
            ),
            'clusters[0].account: "c\\u202efd" is not the name of an account; known: "default" (line 8)',
        ],
    ),
    "quotation marks of a word processor": (
        GOOD.replace("jinan1a", "“jinan1a”"),
        [
            (
                'clusters[0].zone: "“jinan1a”" contains a quotation mark that is not a plain " or \''
                " (line 7)"
            )
        ],
    ),
    "a blank name": (GOOD + '    name: " "\n', ['clusters[0].name: " " is empty (line 8)']),
    "a wide colon": (
        GOOD.replace("zone: jinan1a", "zone：jinan1a"),
        [
            "not YAML: could not find expected ':': a colon and a space must follow each key (line 7)"
        ],
    ),
    "a key without a space after its colon": (
        "accounts:\n  - endpoint: x\n    access_key_id:AKID\nclusters: []\n",
        [
            "not YAML: could not find expected ':': a colon and a space must follow each key (line 3)"
        ],
    ),
    "a key that is no text": (
        GOOD + '    queues: {[gpu]: {cores: 1}, "\\ud800": {cores: 1}, "\\0": {cores: 1}}\n',
        ["clusters[0].queues: has a key that is not a text (line 8)"] * 3,
    ),
    "a line feed in the name of a file": (
        GOOD + 'labels: {user: {groups_file: "a\\nb"}}\n',
        ["labels.user.groups_file: a\\nb: cannot be read: No such file or directory"],
    ),
    "home directories": (
        GOOD + "state: {path: ~/state}\nlabels: {user: {groups_file: ~li/groups.csv}}\n",
        [
            (
                'state.path: "~/state" begins with ~, which only a shell replaces; write ${HOME} (line 8)'
            ),
            (
                'labels.user.groups_file: "~li/groups.csv" begins with ~, which only a shell replaces;'
                " write ${HOME} (line 9)"
            ),
        ],
    ),
    "a class that is none": (
        GOOD + "labels: {user: {include: ['[[:alpha:]]']}}\n",
        [
            (
                'labels.user.include[0]: "[[:alpha:]]" is not a pattern: [:alpha:] is not known here; write it'
                " as [a-zA-Z] (line 8)"
            )
        ],
    ),
    "a variable with a default": (
        GOOD.replace("HUSH", "${HUSH:-none}"),
        [
            (
                "accounts[0].secret_access_key: has more than a variable's name in ${ }; write $$ for a"
                " plain $ (line 4)"
            )
        ],
    ),
    "a password in a link": (
        GOOD + "links: {grafana: 'https://me:HUSH@grafana.example.org'}\n",
        ["links.grafana: must not contain a user or password: everybody can see the link (line 8)"],
    ),
    **{
        f"the zone {written}": (
            GOOD + f"    timezone: {written}\n",
            [
                f'clusters[0].timezone: "{written}" is not a known time zone; write Asia/Shanghai (line 8)'
            ],
        )
        for written in (
            "Asia/Bejing",
            "asia/bejin",
            "Asia/Peking",
            "Pekin",
            "北京",
            "中国标准时间",
            "东八区",
            "CST-8",
            "CST+8",
            "China Standard Time",
            "(UTC+08:00) Beijing",
            "BJT",
            "zh_CN",
            "SHANGHAI",
        )
    },
    "the zone AUTO": (
        GOOD + "    timezone: AUTO\n",
        ['clusters[0].timezone: "AUTO" is not a known time zone; write auto (line 8)'],
    ),
    "the zone of this machine": (
        GOOD + "    timezone: local\n",
        [
            'clusters[0].timezone: "local" is not a known time zone; write it as Asia/Shanghai (line 8)'
        ],
    ),
    "a zone that counts leap seconds": (
        GOOD + "    timezone: right/UTC\n",
        [
            'clusters[0].timezone: "right/UTC" is not a known time zone; did you mean "Etc/UTC"? (line 8)'
        ],
    ),
    # variables
    "variable not set": (
        GOOD.replace("HUSH", "${EHPC_SECRET_ACESS_KEY}"),
        [
            (
                "accounts[0].secret_access_key: the environment variable EHPC_SECRET_ACESS_KEY is not "
                'set; did you mean "EHPC_SECRET_ACCESS_KEY"? (line 4)'
            )
        ],
    ),
    "variable without its end": (
        GOOD.replace("HUSH", "${HUSH"),
        [
            (
                "accounts[0].secret_access_key: has ${ without a variable's name and }; write $$ for "
                "a plain $ (line 4)"
            )
        ],
    ),
    "variable that is empty": (
        GOOD.replace("HUSH", "${EMPTY}"),
        ["accounts[0].secret_access_key: is empty (line 4)"],
    ),
    "a secret in the wrong variable": (
        GOOD + "    interval: ${EHPC_SECRET_ACCESS_KEY}\n",
        [
            (
                'clusters[0].interval: "${EHPC_SECRET_ACCESS_KEY}" is not a duration; write it as '
                "30s, 5m, 1h30m or 30d (line 8)"
            )
        ],
    ),
    # names and references
    "accounts without names": (
        TWO_ACCOUNTS.replace("name: west\n    ", "") + CLUSTER + "    account: east\n",
        ["accounts[1]: needs a name, as there are several accounts (line 6)"],
    ),
    "accounts of one name": (
        TWO_ACCOUNTS.replace("west", "east") + CLUSTER + "    account: east\n",
        ["accounts[1].name: the same name as accounts[0] (line 6)"],
    ),
    "cluster without an account": (
        TWO_ACCOUNTS + CLUSTER,
        ["clusters[0]: needs an account, as there are several accounts (line 11)"],
    ),
    "unknown account": (
        TWO_ACCOUNTS + CLUSTER + "    account: eastt\n",
        [
            (
                'clusters[0].account: "eastt" is not the name of an account; did you mean "east"? '
                "(line 13)"
            )
        ],
    ),
    "unknown account, unlike any": (
        GOOD + "    account: other\n",
        ['clusters[0].account: "other" is not the name of an account; known: "default" (line 8)'],
    ),
    "clusters of one name": (
        GOOD + "  - {name: ehpc-1, cluster_id: ehpc-2, zone: jinan1a}\n",
        ["clusters[1].name: the same name as clusters[0] (line 8)"],
    ),
    "one cluster in two zones without a name": (
        GOOD + "  - {cluster_id: ehpc-1, zone: jinan1b}\n",
        ["clusters[1]: the same name as clusters[0] (line 8)"],
    ),
    "one cluster twice": (
        GOOD + "  - {name: again, cluster_id: ehpc-1, zone: jinan1a, account: default}\n",
        ["clusters[1].cluster_id: the same endpoint, zone and cluster_id as clusters[0] (line 8)"],
    ),
    "one cluster by two accounts of one endpoint": (
        TWO_ACCOUNTS.replace("west.example", "east.example")
        + "clusters:\n  - {account: east, cluster_id: ehpc-1, zone: z}\n"
        "  - {name: again, account: west, cluster_id: ehpc-1, zone: z}\n",
        ["clusters[1].cluster_id: the same endpoint, zone and cluster_id as clusters[0] (line 12)"],
    ),
    # files
    "secret twice": (
        ACCOUNT + "    secret_access_key_file: good\n" + CLUSTER,
        [
            (
                "accounts[0].secret_access_key_file: cannot be given together with secret_access_key "
                "(line 5)"
            )
        ],
    ),
    "no such secret file": (
        GOOD.replace("secret_access_key: HUSH", "secret_access_key_file: nowhere"),
        [
            (
                'accounts[0].secret_access_key_file: "nowhere" cannot be read: No such file or '
                "directory (line 4)"
            )
        ],
    ),
    "empty secret file": (
        GOOD.replace("secret_access_key: HUSH", "secret_access_key_file: blank"),
        ['accounts[0].secret_access_key_file: "blank" is empty (line 4)'],
    ),
    "secret file of bytes": (
        GOOD.replace("secret_access_key: HUSH", "secret_access_key_file: bytes"),
        ['accounts[0].secret_access_key_file: "bytes" is not UTF-8 text (line 4)'],
    ),
    "secret file with more": (
        GOOD.replace("secret_access_key: HUSH", "secret_access_key_file: lines"),
        [
            (
                'accounts[0].secret_access_key_file: "lines" has more than one line; it must contain'
                " only the key (line 4)"
            )
        ],
    ),
    "no such certificates": (
        ACCOUNT + "    ca_file: nowhere.pem\n" + CLUSTER,
        ['accounts[0].ca_file: "nowhere.pem" cannot be read: No such file or directory (line 5)'],
    ),
    "no certificates in the file": (
        ACCOUNT + "    ca_file: lines\n" + CLUSTER,
        ['accounts[0].ca_file: "lines" does not hold certificates in PEM form (line 5)'],
    ),
    # all at once
    "many": (
        """\
accounts:
  - endpoint: ftp://x
    access_key_id: KEYID
    secret_access_key: HUSH
    timeout: soon
clusters:
  - name: a
    cluster_id: ehpc-1
  - name: a
    cluster_id: ehpc-2
    zone: z
    colour: red
collection:
  intervall: 60s
""",
        [
            "accounts[0].endpoint: must be a URL such as https://hpc.api.qingcloud.com (line 2)",
            (
                'accounts[0].timeout: "soon" is not a duration; write it as 30s, 5m, 1h30m or 30d '
                "(line 5)"
            ),
            "clusters[0].zone: is missing (line 7)",
            "clusters[1].name: the same name as clusters[0] (line 9)",
            (
                "clusters[1].colour: unknown key; known here: name, account, cluster_id, zone, "
                "timezone, interval, staleness, labels, queues (line 12)"
            ),
            'collection.intervall: unknown key; did you mean "interval"? (line 14)',
        ],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_wrong_configuration_says_what_is_wrong(name: str, tmp_path: Path) -> None:
    text, expected = CASES[name]
    (tmp_path / "good").write_text("HUSH")
    (tmp_path / "blank").write_text(" \n")
    (tmp_path / "bytes").write_bytes(b"HUSH\xff")
    (tmp_path / "lines").write_text("HUSH\nHUSH\n")
    environ = {"EMPTY": "", "EHPC_SECRET_ACCESS_KEY": "HUSH"}
    problems = problems_of(text, tmp_path, **environ)
    assert problems == expected
    assert "HUSH" not in "".join(problems)
    assert all("\n" not in problem for problem in problems)
