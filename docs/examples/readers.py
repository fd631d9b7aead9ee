import os
orders = [[i, "order %d" % i] for i in range(200000)]
if os.fork() == 0:
    total = sum(order[0] for order in orders)  # reads only
    os._exit(0)
os.wait()
