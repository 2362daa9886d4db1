"""``--web.config.file``: what it may say, and how its faults are told."""

import contextlib
import os
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from exporter.errors import ConfigError
from exporter.web.tls import RenewingContext, TlsConfig, build_context
from exporter.web.web_config import WebConfig, load_web_config, parse_web_config, refuse_weaker

HASH = "$2b$04$tDJ4LSkYNRa44p5YGhs7veLMcRBHnpg1lTqLbWad4GrJ3zd82YK0q"
"""Of «wonderland»; fixed, since it stands in the names of tests."""

FULL = f"""\
tls_server_config:
  cert_file: server.pem
  key_file: server.key
  client_ca_file: ca.pem
  client_auth_type: RequireAndVerifyClientCert
  min_version: TLS13
http_server_config:
  http2: true
  headers:
    Strict-Transport-Security: max-age=31536000
    X-Frame-Options: deny
basic_auth_users:
  alice: {HASH}
  bob: {HASH}
"""


def write_cert(directory: Path, authority: trustme.CA, name: str = "localhost") -> None:
    cert = authority.issue_cert(name)
    cert.private_key_pem.write_to_path(str(directory / "server.key"))
    (directory / "server.pem").write_bytes(b"".join(b.bytes() for b in cert.cert_chain_pems))


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("web")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(directory / "ca.pem"))
    write_cert(directory, authority)
    return directory


def problems(text: str, directory: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse_web_config(text, directory)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize("text", ["", "# nothing\n", "basic_auth_users:\n", "{}", "null"])
def test_nothing_said_is_nothing_changed(text: str) -> None:
    assert parse_web_config(text, Path()) == WebConfig()


def test_everything(directory: Path) -> None:
    config = parse_web_config(FULL, directory)
    assert config.tls == TlsConfig(
        directory / "server.pem", directory / "server.key", directory / "ca.pem",
        "RequireAndVerifyClientCert", "TLS13",
    )  # fmt: skip
    assert dict(config.users) == {"alice": HASH, "bob": HASH}
    assert dict(config.headers) == {
        "Strict-Transport-Security": "max-age=31536000", "X-Frame-Options": "deny"
    }  # fmt: skip
    assert HASH not in repr(config)


def test_from_a_file(directory: Path) -> None:
    path = directory / "web.yml"
    path.write_text(FULL)
    assert load_web_config(path) == parse_web_config(FULL, directory)
    with pytest.raises(ConfigError, match=r"cannot read .*nowhere\.yml: No such file"):
        load_web_config(directory / "nowhere.yml")
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        load_web_config(path)


FAULTS = {
    "[]": [": must be a mapping (line 1)"],
    "a: b: c": ["not YAML: mapping values are not allowed here (line 1)"],
    "a: &a [*a]": ["not a configuration: its aliases multiply it beyond measure"],
    f"basic_auth_users:\n  <<: &x {{a: {HASH}}}": [
        ("basic_auth_users: << is a merge key, which is not supported; write the keys out (line 2)")
    ],
    "tls_server_confg: {}": [
        'tls_server_confg: unknown key; did you mean "tls_server_config"? (line 1)'
    ],
    "rate_limit: {}": ["rate_limit: is not supported by this exporter (line 1)"],
    "tls_server_config: {}": [
        "tls_server_config.cert_file: is missing (line 1)",
        "tls_server_config.key_file: is missing (line 1)",
    ],
    "tls_server_config:\n  cert_file: no.pem\n  key_file:\n": [
        "tls_server_config.cert_file: cannot read {dir}/no.pem: No such file or directory (line 2)",
        "tls_server_config.key_file: must be a text (line 3)",
    ],
    "tls_server_config:\n  cert_file: server.pem\n  key_file: ca.pem": [
        ("tls_server_config.cert_file: this and key_file do not fit together, or one of them is "
            "not PEM or encrypted (line 2)")
    ],
    "tls_server_config: {cert_file: server.pem, key_file: server.key, min_version: TLS10}": [
        "tls_server_config.min_version: TLS10 is no longer safe; the lowest is TLS12 (line 1)"
    ],
    "tls_server_config: {cert_file: server.pem, key_file: server.key, min_version: TLS1.3}": [
        ("tls_server_config.min_version: must be one of TLS12, TLS13; did you mean "
        '"TLS13"? (line 1)')
    ],
    (
        "tls_server_config: {cert_file: server.pem, key_file: server.key, min_version: TLS13,\n"
        "  max_version: TLS12}"
    ): ["tls_server_config.max_version: is lower than min_version (line 2)"],
    (
        "tls_server_config: {cert_file: server.pem, key_file: server.key,\n"
        "  client_auth_type: RequireAndVerifyClientCert}"
    ): [
        "tls_server_config.client_ca_file: is missing; RequireAndVerifyClientCert needs it (line 1)"
    ],
    (
        "tls_server_config: {cert_file: server.pem, key_file: server.key,\n"
        "  client_ca_file: ca.pem}"
    ): [
        ("tls_server_config.client_ca_file: is of no use without a client_auth_type that verifies"
        " (line 2)")
    ],
    (
        "tls_server_config: {cert_file: server.pem, key_file: server.key,\n"
        "  client_auth_type: RequireAnyClientCert, client_ca_file: ca.pem}"
    ): [
        ("tls_server_config.client_auth_type: RequireAnyClientCert would verify nothing; use "
        "RequireAndVerifyClientCert (line 2)"),
        ("tls_server_config.client_ca_file: is of no use without a client_auth_type that verifies"
        " (line 2)"),
    ],
    "tls_server_config:\n  cipher_suites: []\n  cert_file: server.pem\n  key_file: server.key": [
        "tls_server_config.cipher_suites: is not supported by this exporter (line 2)"
    ],
    "http_server_config:\n  http2: maybe": [
        "http_server_config.http2: must be true or false (line 2)"
    ],
    "http_server_config:\n  headers:\n    X-Evil: a\n    X-Frame-Options: \"a\\r\\nb\"": [
        "http_server_config.headers.X-Evil: unknown key (line 3)",
        "http_server_config.headers.X-Frame-Options: must be one line of plain characters (line 4)",
    ],
    "basic_auth_users:\n  alice: wonderland\n  bob:\n  alice: x": [
        ("basic_auth_users.alice: is not a bcrypt hash; make one with: "
        'htpasswd -nBC 10 "" | tr -d ":\\n" (line 2)'),
        "basic_auth_users.bob: must be a text (line 3)",
        "basic_auth_users.alice: is there twice, first on line 2 (line 4)",
    ],
    f"basic_auth_users:\n  alice: !env {HASH}\n!env http_server_config: {{}}": [
        "basic_auth_users.alice: has a tag that means nothing here (line 2)",
        "http_server_config: has a tag that means nothing here (line 3)",
    ],
    f'basic_auth_users:\n  "a:b": {HASH}': [
        "basic_auth_users.a:b: is not a user name; it must not be empty or contain a colon (line 2)"
    ],
}  # fmt: skip


@pytest.mark.parametrize("key", ["cert_file", "key_file", "client_ca_file"])
def test_a_path_that_would_block_is_a_problem(key: str, directory: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    names = {"cert_file": "server.pem", "key_file": "server.key", "client_ca_file": "ca.pem"}
    text = FULL.replace(f"{key}: {names[key]}", f"{key}: {tmp_path}/pipe")
    (problem,) = problems(text, directory)
    assert problem.startswith(
        f"tls_server_config.{key}: cannot read {tmp_path}/pipe: not a regular file"
    )


def test_a_certificate_that_becomes_a_pipe_holds_up_no_handshake(tmp_path: Path) -> None:
    write_cert(tmp_path, trustme.CA())
    context = RenewingContext(TlsConfig(tmp_path / "server.pem", tmp_path / "server.key"))
    first = context._latest()
    (tmp_path / "server.pem").unlink()
    os.mkfifo(tmp_path / "server.pem")
    assert context._latest() is first


@pytest.mark.parametrize("cost", [16, 31])
def test_a_hash_that_takes_for_ever_to_check_is_a_problem(cost: int, directory: Path) -> None:
    costly = HASH.replace("$04$", f"${cost}$")
    (problem,) = problems(f"basic_auth_users: {{alice: {costly}}}", directory)
    assert problem.startswith(
        f"basic_auth_users.alice: has a cost of {cost}, so that a check takes"
    )
    assert problem.endswith("; the highest is 15 (line 1)")
    bearable = HASH.replace("$04$", "$15$")
    assert parse_web_config(f"basic_auth_users: {{alice: {bearable}}}", directory).users


@pytest.mark.parametrize("text", FAULTS, ids=lambda text: text[:40])
def test_faults(text: str, directory: Path) -> None:
    expected = [line.replace("{dir}", str(directory)) for line in FAULTS[text]]
    assert problems(text, directory) == [line.removeprefix(": ") for line in expected]


def test_a_ca_file_without_certificates(directory: Path) -> None:
    (directory / "empty.pem").write_text("nothing\n")
    text = FULL.replace("ca.pem", "empty.pem")
    (problem,) = problems(text, directory)
    assert problem.startswith("tls_server_config.client_ca_file: holds no PEM certificate")
    assert problem.endswith("(line 4)")


def test_an_encrypted_key_is_refused_without_asking(directory: Path) -> None:
    key = directory / "encrypted.key"
    key.write_text(
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIC\n-----END ENCRYPTED PRIVATE KEY-----\n"
    )
    text = "tls_server_config: {cert_file: server.pem, key_file: encrypted.key}"
    (problem,) = problems(text, directory)
    assert problem.startswith("tls_server_config.cert_file: this and key_file do not fit")


def test_a_key_of_several_lines_is_told_in_one() -> None:
    """Found by fuzzing: a plain text in braces may go on over empty lines."""
    with pytest.raises(ConfigError) as caught:
        parse_web_config("tls_server_config: {cert_fil\n\n\ne}\n", Path("/nonexistent"))
    assert all("\n" not in str(problem) for problem in caught.value.problems)
    assert "cert_fil\\n\\ne" in str(caught.value)


def test_a_hash_that_has_slipped_into_a_key_is_not_shown() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_web_config(f"basic_auth_users: {{alice:{HASH}: x}}", Path("/nonexistent"))
    assert HASH[10:] not in str(caught.value)
    assert "alice" in str(caught.value)


def test_a_reload_opens_nothing_that_was_closed(directory: Path) -> None:
    full = parse_web_config(FULL, directory)
    for text in ("", "null", "basic_auth_users: {}", FULL[: FULL.index("basic_auth_users")]):
        with pytest.raises(
            ConfigError, match=r"^basic_auth_users: would let everybody in; restart"
        ):
            refuse_weaker(full, parse_web_config(text, directory))
    plain = FULL[FULL.index("http_server_config") :]
    with pytest.raises(ConfigError, match=r"^tls_server_config: cannot go while the program runs"):
        refuse_weaker(full, parse_web_config(plain, directory))
    anybody = FULL.replace("  client_ca_file: ca.pem\n  client_auth_type: Require", "#")
    with pytest.raises(ConfigError, match="client_auth_type: would let in more clients than Req"):
        refuse_weaker(full, parse_web_config(anybody, directory))
    older = parse_web_config(FULL.replace("  min_version: TLS13\n", ""), directory)
    with pytest.raises(ConfigError, match="min_version: would let in older protocols than TLS13"):
        refuse_weaker(full, older)
    refuse_weaker(older, full)
    optional = FULL.replace("RequireAndVerifyClientCert", "VerifyClientCertIfGiven")
    with pytest.raises(ConfigError, match="client_auth_type: would let in more clients than Req"):
        refuse_weaker(full, parse_web_config(optional, directory))


def test_a_reload_that_cannot_begin_to_encrypt_says_so(directory: Path) -> None:
    plain = parse_web_config(FULL[FULL.index("http_server_config") :], directory)
    with pytest.raises(
        ConfigError, match=r"^tls_server_config: cannot come while the program runs"
    ):
        refuse_weaker(plain, parse_web_config(FULL, directory))


def test_a_reload_may_close_more_and_change_what_is_closed(directory: Path) -> None:
    full = parse_web_config(FULL, directory)
    refuse_weaker(WebConfig(), parse_web_config(f"basic_auth_users: {{a: {HASH}}}", directory))
    refuse_weaker(full, parse_web_config(FULL.replace("alice", "carol"), directory))
    optional = FULL.replace("RequireAndVerifyClientCert", "VerifyClientCertIfGiven")
    refuse_weaker(parse_web_config(optional, directory), full)


def test_a_certificate_that_is_too_weak_is_told_as_such(tmp_path: Path) -> None:
    key = rsa.generate_private_key(65537, 1024)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    begin = datetime(2020, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder(
        name, name, key.public_key(), 1, begin, begin + timedelta(days=90)
    )
    form = serialization.Encoding.PEM
    private = key.private_bytes(
        form, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "server.key").write_bytes(private)
    (tmp_path / "server.pem").write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(form))
    with pytest.raises(ConfigError, match="cert_file: has a key or a signature that is too weak"):
        build_context(TlsConfig(tmp_path / "server.pem", tmp_path / "server.key"))


def test_a_context_follows_other_settings(tmp_path: Path) -> None:
    write_cert(tmp_path, trustme.CA())
    files = (tmp_path / "server.pem", tmp_path / "server.key")
    context = RenewingContext(TlsConfig(*files))
    first = context._latest()
    context.follow(TlsConfig(*files))
    assert context._latest() is first
    context.follow(TlsConfig(*files, min_version="TLS13"))
    assert context._latest().minimum_version is ssl.TLSVersion.TLSv1_3


@given(st.text())
def test_any_text_is_a_config_or_its_problems(text: str) -> None:
    with contextlib.suppress(ConfigError):
        assert isinstance(parse_web_config(text, Path("/nonexistent")), WebConfig)


YAML_BITS = st.recursive(
    st.sampled_from(["x", "1", "null", HASH, "'", "*a", "&a b", "!!python/name:os.system", "\0"]),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
        | st.dictionaries(
            st.sampled_from(
                [
                    "tls_server_config",
                    "cert_file",
                    "key_file",
                    "basic_auth_users",
                    "headers",
                    "a",
                    "http_server_config",
                    "client_auth_type",
                    "? [b]",
                ]
            ),
            inner,
            max_size=4,
        ).map(lambda d: "{" + ", ".join(f"{k}: {v}" for k, v in d.items()) + "}")
    ),
)


@given(YAML_BITS)
def test_any_tree_is_a_config_or_its_problems(text: str) -> None:
    with contextlib.suppress(ConfigError):
        assert isinstance(parse_web_config(text, Path("/nonexistent")), WebConfig)


def test_the_context_is_as_configured(directory: Path) -> None:
    config = parse_web_config(FULL, directory).tls
    assert config is not None
    context = build_context(config)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_3
    assert context.verify_mode is ssl.CERT_REQUIRED
    trusted: list[dict[str, Any]] = context.get_ca_certs()
    assert [dict(ca["subject"][1])["organizationalUnitName"] for ca in trusted]


def test_renewed_files_are_taken_and_broken_ones_are_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    authority = trustme.CA()
    write_cert(tmp_path, authority)
    context = RenewingContext(TlsConfig(tmp_path / "server.pem", tmp_path / "server.key"))
    first = context._latest()
    assert context._latest() is first
    old_cert = (tmp_path / "server.pem").read_bytes()
    write_cert(tmp_path, authority, "renewed")
    second = context._latest()
    assert second is not first
    assert "the renewed TLS files are in use" in caplog.text
    (tmp_path / "server.pem").write_bytes(old_cert)  # the key is another one's
    assert context._latest() is second
    assert context._latest() is second
    assert caplog.text.count("cannot be used") == 1
    write_cert(tmp_path, authority, "again")
    assert context._latest() is not second


@pytest.mark.parametrize("name", ["server.pem", "server.key"])
@pytest.mark.parametrize(
    ("in_its_place", "reason"),
    [(None, "No such file or directory"), (Path.mkdir, "not a regular file")],
)
def test_a_file_that_is_gone_is_told_of_once_and_the_old_one_stays_in_use(
    name: str,
    in_its_place: Callable[[Path], None] | None,
    reason: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    write_cert(tmp_path, trustme.CA())
    context = RenewingContext(TlsConfig(tmp_path / "server.pem", tmp_path / "server.key"))
    first, file = context._latest(), tmp_path / name
    aside = file.rename(tmp_path / "aside")
    if in_its_place is not None:
        in_its_place(file)
    for _ in range(3):
        assert context._latest() is first
    (record,) = caplog.records
    told = vars(record)
    assert (record.levelname, told["file"], told["reason"]) == ("ERROR", str(file), reason)
    assert "Put it back" in told["advice"]
    if in_its_place is not None:
        file.rmdir()
    aside.rename(file)
    for _ in range(3):
        context._latest()
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]


def test_a_file_that_cannot_be_read_is_no_wrong_certificate(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file or directory"):
        build_context(TlsConfig(tmp_path / "server.pem", tmp_path / "server.key"))
