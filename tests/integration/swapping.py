"""swapping.py - a swap file for a test, where one is allowed; or the disk that MMS_SWAP names."""
import contextlib
import ctypes
import os
import struct

import mms

PAGE = 4096


@contextlib.contextmanager
def swap_file(pages=2048):
    libc = ctypes.CDLL(None, use_errno=True)
    disk = os.environ.get('MMS_SWAP')
    path = disk or '/var/tmp/mmscope-swap-%d' % os.getpid()
    with open(path, 'wb') as f:  # as mkswap writes it: version, last page, bad pages; signature
        os.chmod(path, 0o600)
        f.write(bytes(1024) + struct.pack('3I', 1, pages - 1, 0) + bytes(PAGE - 1024 - 12 - 10) + b'SWAPSPACE2')
        f.write(bytes((pages - 1) * PAGE))
        f.flush()
        os.fsync(f.fileno())
    try:
        if libc.swapon(path.encode(), 0):
            mms.skip('no swap file is allowed here: ' + os.strerror(ctypes.get_errno()))
        yield
    finally:
        libc.swapoff(path.encode())
        if not disk:
            os.unlink(path)
