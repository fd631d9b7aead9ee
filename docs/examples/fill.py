import time
held = []
for i in range(60):
    held.append(bytearray(4 << 20))
    time.sleep(0.1)
