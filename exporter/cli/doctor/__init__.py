"""``doctor``: how the cloud's server behaves, printed and as a report.

command  flags -> whom to look at; exit code
page     findings -> what people read
report   findings -> JSON that may be shown to anybody, and that ``simulate --profile`` plays
texts    every word, in English and in Chinese; words looks them up
"""
