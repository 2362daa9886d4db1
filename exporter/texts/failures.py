"""The advice for failures in Chinese, by the English text of the errors. Data only.

``{}`` stands for what is filled in; the Chinese has it in the same order.
"""

from collections.abc import Mapping

# fmt: off
ADVICE: Mapping[str, str] = {
    # -- the state
    "Make room on the disk of state.path, let the exporter write there, or raise its limit of open files: the reason tells which.":
        "请按原因处理：在 state.path 所在的磁盘上腾出空间，允许本程序写入该目录，或调高它可打开的文件数。",
    # -- the way to the cloud
    "Check the network between here and the endpoint; if the cloud is slow, raise the account's timeout.":
        "检查本机到端点的网络；如果云端较慢，请调大账户的 timeout。",
    "Check the account's endpoint, name resolution, firewalls, and the proxy settings in the environment.":
        "检查账户的 endpoint、域名解析、防火墙以及环境变量中的代理设置。",
    "Check that the endpoint's certificate is valid and that this machine (SSL_CERT_FILE, if that is set), or the account's ca_file, trusts its issuer.":
        "检查端点的证书是否有效，以及本机（如设置了 SSL_CERT_FILE，则以它为准）或账户的 ca_file 是否信任其颁发者。",
    "In this program's environment, set https_proxy (or http_proxy) to http://USER:PASSWORD@HOST:PORT, or no_proxy to the endpoint's host.":
        "在本程序的环境变量中，把 https_proxy（或 http_proxy）设为 http://USER:PASSWORD@HOST:PORT，或把端点的主机名加入 no_proxy。",
    "Set the account's endpoint to the API's own address: a signed call follows no redirect.":
        "请把账户的 endpoint 设为 API 自己的地址：带签名的调用不会跟随重定向。",
    "Check that the account's endpoint is the API's address.": "检查账户的 endpoint 是否是 API 的地址。",
    "This program only sends GET requests: check that the account's endpoint is the API's address, and that no gateway in front of it refuses them.":
        "本程序只发送 GET 请求：请检查账户的 endpoint 是否是 API 的地址，以及其前面的网关是否拒绝这类请求。",
    "Check that the account's endpoint is the API's address and that no proxy or gateway answers in its place.":
        "检查账户的 endpoint 是否是 API 的地址，以及是否有代理或网关代为应答。",
    "Calls are sent further apart now; if it lasts, lengthen collection.interval.": "现在调用之间会拉开间隔；如果持续出现，请调大 collection.interval。",
    "The cloud, or a gateway in front of it, has a problem; it should recover by itself.":
        "云端或其前面的网关出了问题，应会自行恢复。",
    # -- what the cloud refuses
    "Check the cluster's cluster_id and zone, and that the account's keys belong to its owner.":
        "检查集群的 cluster_id 和 zone，以及账户的密钥是否属于集群的所有者。",
    "The cloud is expected to recover by itself; if it goes on for hours, ask its support.":
        "云端应会自行恢复；如果持续数小时，请联系云的技术支持。",
    "The server does not understand this program's request: please report it as a bug.":
        "服务端不理解本程序的请求：请作为缺陷反馈。",
    "Check the account's access_key_id and secret access key, and that the key is still enabled in the cloud's console.":
        "检查账户的 access_key_id 和 secret access key，并在云控制台确认密钥仍处于启用状态。",
    "Check the account's keys, and that the file with the secret is readable.":
        "检查账户的密钥，以及存放密钥的文件是否可读。",
    "Set this machine's clock, for instance with chrony or ntpd. It is {} s behind the server's.":
        "请校准本机时钟，例如用 chrony 或 ntpd。本机时钟比服务端慢 {} 秒。",
    "Set this machine's clock, for instance with chrony or ntpd. It is {} s ahead of the server's.":
        "请校准本机时钟，例如用 chrony 或 ntpd。本机时钟比服务端快 {} 秒。",
    "Set this machine's clock, for instance with chrony or ntpd.": "请校准本机时钟，例如用 chrony 或 ntpd。",
    "The cloud's own clocks disagree: show this message to its support.":
        "云端各主机的时钟不一致：请把这条消息交给云的技术支持。",
    "If the cloud wants the account's owner, set accounts[].user_id.":
        "如果云端要求指明账户的所有者，请设置 accounts[].user_id。",
    "Check accounts[].user_id, and that the account's keys may list clusters.":
        "检查 accounts[].user_id，以及账户的密钥是否有权列出集群。",
    "Ask the cloud's administrator about its licence.": "请与云平台管理员确认许可证。",
    "Show the code to the cloud's administrator.": "请把错误码交给云平台管理员。",
    "Look the code up in the cloud's API documentation.": "请在云的 API 文档中查找该错误码。",
    # -- the quota of calls
    "Wait: the exporter pauses its calls. Lower the account's quota.share, lengthen collection.interval, or find out which other tool uses the account's quota.":
        "请稍候：exporter 会暂停调用。可调小账户的 quota.share，调大 collection.interval，或查明还有哪个工具在使用该账户的配额。",
    "Find out which other tool uses the account's quota of calls, and lower quota.share. After the pause, one call is made as a test.":
        "请查明还有哪个工具在使用同一账户的调用配额，并调小 quota.share。暂停结束后会先试探性地发出一次调用。",
    "Wait: the daemon continues by itself. Or lengthen the interval, watch fewer clusters with this account, or raise quota.share if no other tool needs the calls.":
        "请稍候，守护进程会自行继续。也可以调大间隔，减少这个账户监视的集群；如果没有其他工具需要这些调用，可调大 quota.share。",
    "Query fewer clusters with --cluster, wait {}, or raise quota.share. The daemon can read a list of any length, with the calls that it has left over.":
        "请用 --cluster 减少要查看的集群，等待 {}，或调大 quota.share。守护进程会用剩余的调用读完任意长度的列表。",
    "Query fewer clusters with --cluster, or raise quota.share. The daemon can read a list of any length, with the calls that it has left over.":
        "请用 --cluster 减少要查看的集群，或调大 quota.share。守护进程会用剩余的调用读完任意长度的列表。",
    # -- what cannot be counted from
    "Nothing is counted from such an answer. If it keeps happening, compare the answer with the API's documentation and report it.":
        "不会根据这样的应答计数。如果持续出现，请对照 API 文档检查应答并反馈。",
    "Nothing is counted from it; the next sync finds out anew ({}).": "不会据此计数；下次同步会重新查明（{}）。",
    "Nothing is counted from it; it is believed if the next sync says so, too.":
        "不会据此计数；如果下次同步仍然如此，才会采信。",
    "Nothing is counted from it; if it stays so, the list is read anew.":
        "不会据此计数；如果持续如此，会重新读取列表。",
    "The cloud is in trouble, or its API has changed; if it lasts, report it.":
        "云端出了问题，或者 API 有变化；如果持续出现，请反馈。",
    "Shorten collection.history to what lies within, or delete old jobs.":
        "请把 collection.history 缩短到可见范围之内，或删除旧作业。",
    "Read it with --full, or let the daemon read it as the budget allows.":
        "请用 --full 读取，或让守护进程按配额逐步读取。",
    "What was read is kept: try again, or let the daemon continue.": "已读取的内容会保留：请再试一次，或让守护进程继续。",
    "Check the zone, and whose keys these are, or give a cluster's id.":
        "请检查区域以及密钥属于谁，或用 ID 指定集群。",
    "Report it, with the log's lines about it.": "请连同相关日志一起反馈。",
}
# fmt: on
