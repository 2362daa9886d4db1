"""What ``demo`` says. Data only."""

from collections.abc import Mapping

DEMO: Mapping[str, tuple[str, str]] = {
    "demo.making": (
        "Generating some clusters and their jobs of the last weeks ...",
        "正在生成若干集群及其最近几周的作业……",
    ),
    "demo.guide": (
        """
A simulated cloud with {clusters} busy clusters is running at {endpoint}.
The exporter syncs each cluster every {interval}. In a few seconds you can open:

  {base}/            every cluster at a glance
  {metrics}     what Prometheus reads
  {base}/docs/       the documentation

What to watch from now on; it repeats every {minutes} minutes:

  0:05  demo-1, queue gpu-a100: a backlog grows, until 2:05
  0:20  demo-3, queue {queue}: the user zhangwei floods it with 400 jobs, until 4:00
  0:25  demo-4 fails, shows its last counts, and recovers within a minute
  0:50  demo-1, queue debug: runs empty, until 2:30

  curl -s {metrics} | grep '^ehpc_jobs{{.*"pending"'       who is waiting, by queue and user
  curl -s {metrics} | grep '^ehpc_oldest_pending'         since when
  curl -s {metrics} | grep '^ehpc_up'                     which cluster fails
  curl -s {metrics} | grep '^ehpc_api_requests_total'     how few calls that takes

In Prometheus, once it scrapes this address:

  sum by (cluster_name, queue) (ehpc_jobs{{status="pending"}})
  topk(3, sum by (cluster_name, user) (ehpc_jobs{{status="pending"}}))
  histogram_quantile(0.95, sum by (le, queue) (rate(ehpc_job_wait_seconds_bucket[5m])))

Ctrl-C stops everything; nothing is kept.

""",
        """
模拟云有 {clusters} 个集群，作业变化频繁，地址是 {endpoint}。
exporter 每 {interval} 同步一次各个集群。几秒钟后可以打开：

  {base}/            所有集群一览
  {metrics}     Prometheus 抓取的指标
  {base}/docs/       文档

从现在开始可以观察到（每 {minutes} 分钟重复一次）：

  0:05  demo-1 的队列 gpu-a100：排队作业不断积压，到 2:05 为止
  0:20  demo-3 的队列 {queue}：用户 zhangwei 一次涌入 400 个作业，到 4:00 为止
  0:25  demo-4 同步失败，显示上次的计数，一分钟内恢复
  0:50  demo-1 的队列 debug：作业已全部跑完，到 2:30 为止

  curl -s {metrics} | grep '^ehpc_jobs{{.*"pending"'       谁在排队（按队列和用户）
  curl -s {metrics} | grep '^ehpc_oldest_pending'         从何时起
  curl -s {metrics} | grep '^ehpc_up'                     哪个集群失败
  curl -s {metrics} | grep '^ehpc_api_requests_total'     只用了多少次调用

让 Prometheus 抓取该地址后，可以查询：

  sum by (cluster_name, queue) (ehpc_jobs{{status="pending"}})
  topk(3, sum by (cluster_name, user) (ehpc_jobs{{status="pending"}}))
  histogram_quantile(0.95, sum by (le, queue) (rate(ehpc_job_wait_seconds_bucket[5m])))

按 Ctrl-C 全部停止，不保留任何数据。

""",
    ),
}
