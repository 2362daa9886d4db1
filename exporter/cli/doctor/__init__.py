"""``doctor``: what the cloud's server does, said and written down.

command  flags -> whom to look at; exit code
page     findings -> what people read
report   findings -> JSON that may be shown to anybody, and that ``simulate --profile`` plays
texts    every word, in English and in Chinese; words looks them up
"""
