"""The part that Prometheus and people connect to.

server       listening, limits, one named thread; uvicorn does the HTTP (``connection``: one client's;
             ``crowd``: how many there may be; ``listening``: the sockets)
app          the routes
access       basic authentication
tls          certificates, renewed ones too
web_config   the file that says who may come in and how
exposition   keeps the answers to scrapes ready; publishers call ``refresh``
rendering    metric families -> text; ``packing`` compresses its parts
negotiation  which format, coding and language a client wants
page         the landing page; ``summary`` is what it tells, ``texts`` has its words
manual       the documentation, which the program carries
look         what all pages look like: ``templates``
threads      work that takes a while, off the web's thread
"""
