"""`outcrier demo`: the whole way from exchange frames to books in another process, on one screen.

    main.py     the process with the screen: a Subscriber, the child that feeds it, the end
    feed.py     the child: the real feeder on the exchanges, or on captures through stand-in venues
    messages.py what the child tells, a JSON object a line
    stats.py    rates and latencies, sans-I/O
    screen.py   what is shown

The feeder is a process of its own, as in production: drawing a screen takes some 10 ms, which would otherwise
stand in the latencies of every frame that arrives meanwhile.
"""
