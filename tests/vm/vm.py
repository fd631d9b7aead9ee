"""vm.py - Debian's own kernel under qemu, and what runs in it (inside.py).

    vm.py fetch [KERNEL.deb]  unpacks a kernel into the build folder (linux-image-amd64)
    vm.py run [NAME...]       boots it and runs all cases, or these
    vm.py shell COMMAND       boots it and runs a command of the shell

The machine is emulated, so that no KVM is needed: a processor is about ten
times slower than the real one.  Its root file system is that of the host,
shared read-only (9p); /tmp, /run and such are empty and in memory, and only
the source tree with its build folder shows through.  One disk is for swap.
Results go over the console, in TAP; `run` prints them on.

Skipped (TAP's word for it, with the reason) where qemu or the kernel is missing:
`./bootstrap vm` gets both.
"""
import glob
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get('MMS_BUILD', os.path.join(TOP, 'build'))
KERNEL = os.path.join(BUILD, 'vm')
BUSYBOX, QEMU = '/usr/bin/busybox', '/usr/bin/qemu-system-x86_64'
MODULES = ('virtio_pci', 'virtio_blk', '9pnet_virtio', '9p')
MEMORY_MIB, SWAP_MIB = 3072, 64

# The first process.  What shows through of the host is read-only.
INIT = '''#!/busybox sh
/busybox mkdir -p /proc /sys /dev /host /tree
/busybox mount -t proc proc /proc
/busybox mount -t devtmpfs dev /dev
for m in %(modules)s; do /busybox insmod /modules/$m || echo "vm: $m"; done
/busybox mount -t 9p -o ro,trans=virtio,version=9p2000.L,cache=loose,msize=262144 host /host || echo 'vm: no root'
/busybox mount --bind /host%(top)s /tree
for d in tmp var/tmp run mnt; do /busybox mount -t tmpfs -o mode=1777 $d /host/$d; done
/busybox mkdir -p /host%(top)s
/busybox mount --move /tree /host%(top)s 2>/dev/null || /busybox mount --bind /tree /host%(top)s
/busybox mount -t proc proc /host/proc
/busybox mount -t sysfs sys /host/sys
/busybox mount -t devtmpfs dev /host/dev
/busybox mkdir -p /host/dev/shm /host/dev/pts
/busybox mount -t tmpfs -o mode=1777 shm /host/dev/shm
/busybox mount -t devpts pts /host/dev/pts
/busybox mount -t cgroup2 cgroup /host/sys/fs/cgroup
/busybox ip link set lo up
export PATH=/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 HOME=/tmp MMS_BUILD='%(build)s' MMS_SWAP=/dev/vda
/busybox cp /command /host/tmp
/busybox umount /proc /dev
exec /busybox switch_root /host %(busybox)s sh -c 'cd /tmp; /bin/sh /tmp/command </dev/null
s=$?; echo; echo "vm: ended with $s"
%(busybox)s poweroff -f'
'''


def kernel():
    """The kernel's image, or None."""
    return next(iter(glob.glob(os.path.join(KERNEL, 'vmlinuz-*'))), None)


def modules_of(folder):
    """Files of MODULES, each after those that it names in its "depends="."""
    files = {os.path.basename(p)[:-3].replace('-', '_'): p for p in glob.glob(os.path.join(folder, '**', '*.ko'), recursive=True)}
    found = {}

    def add(name):
        if name in found or name not in files:  # built in
            return
        with open(files[name], 'rb') as f:
            needs = re.search(rb'\0depends=([^\0]*)\0', f.read()).group(1).decode()
        for other in needs.split(','):
            add(other.replace('-', '_'))
        found[name] = files[name]
    for name in MODULES:
        add(name)
    return found.values()


def fetch(deb=None):
    """Unpacked, not installed: how this machine starts is none of a test's business."""
    if kernel():
        return
    with tempfile.TemporaryDirectory() as folder:
        if not deb:
            shown = subprocess.run(['apt-cache', 'depends', 'linux-image-amd64'], stdout=subprocess.PIPE, text=True, check=True).stdout
            name = next(line.split()[-1] for line in shown.splitlines() if 'Depends: linux-image-' in line)
            subprocess.run(['apt-get', '-qq', 'download', name], cwd=folder, check=True)
            deb, = glob.glob(os.path.join(folder, '*.deb'))
        subprocess.run(['dpkg-deb', '-x', deb, folder], check=True)
        os.makedirs(KERNEL, exist_ok=True)
        for number, path in enumerate(modules_of(folder)):
            shutil.copy(path, os.path.join(KERNEL, '%02d-%s' % (number, os.path.basename(path))))
        image, = glob.glob(os.path.join(folder, 'boot', 'vmlinuz-*'))
        shutil.copy(image, KERNEL)  # last: it stands for all
    print('unpacked ' + kernel())


def entry(name, mode, content=b''):
    """One file of an initramfs (Documentation/driver-api/early-userspace/buffer-format.rst)."""
    fields = (0, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
    head = b'070701' + b''.join(b'%08x' % f for f in fields) + name.encode() + b'\0'
    return head + bytes(-len(head) % 4) + content + bytes(-len(content) % 4)


def initramfs(to, command):
    modules = sorted(glob.glob(os.path.join(KERNEL, '*.ko')))
    init = INIT % {'modules': ' '.join(map(os.path.basename, modules)), 'top': TOP, 'build': BUILD, 'busybox': BUSYBOX}
    with open(BUSYBOX, 'rb') as f:
        busybox = f.read()
    with open(to, 'wb') as f:
        f.write(entry('modules', 0o040755))
        f.write(entry('busybox', 0o100755, busybox))
        f.write(entry('init', 0o100755, init.encode()))
        f.write(entry('command', 0o100644, command.encode()))
        for path in modules:
            with open(path, 'rb') as m:
                f.write(entry('modules/' + os.path.basename(path), 0o100644, m.read()))
        f.write(entry('TRAILER!!!', 0))


def boot(command):
    """Runs the command; each line of the console."""
    with tempfile.TemporaryDirectory(prefix='mms-vm-') as folder:
        image, disk = os.path.join(folder, 'initramfs'), os.path.join(folder, 'swap')
        initramfs(image, command)
        with open(disk, 'wb') as f:
            f.truncate(SWAP_MIB << 20)
        p = subprocess.Popen([
            QEMU, '-accel', 'tcg,thread=multi', '-cpu', 'max', '-smp', '2', '-m', str(MEMORY_MIB), '-nodefaults', '-no-user-config',
            '-display', 'none', '-no-reboot', '-serial', 'stdio', '-kernel', kernel(), '-initrd', image,
            '-append', 'console=ttyS0 quiet panic=-1 loglevel=4 mitigations=off',
            '-drive', 'file=%s,if=virtio,format=raw' % disk,
            '-virtfs', 'local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap',
        ], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=lambda: os.nice(5))
        try:
            for line in p.stdout:
                yield line.decode('utf-8', 'replace').rstrip('\r\n')
            p.wait()
        finally:
            p.kill()
            p.wait()


def missing():
    """Why it cannot be booted here."""
    for path in (QEMU, BUSYBOX):
        if not os.path.exists(path):
            return path + ' is not installed'
    return None if kernel() else 'no kernel is unpacked'


def main():
    what, rest = sys.argv[1], sys.argv[2:]
    if what == 'fetch':
        return fetch(*rest)
    reason = missing()
    if reason:
        print('1..0 # SKIP %s (./bootstrap vm gets it)' % reason)
        return None
    if what == 'run':
        rest = ['/usr/bin/python3', os.path.join(TOP, 'tests', 'vm', 'inside.py'), *rest]
    last = ''
    for line in boot(shlex.join(rest) if what == 'run' else ' '.join(rest)):
        is_tap = re.match(r'(1\.\.|ok |not ok |#)', line)
        print(line if is_tap or what != 'run' else '# ' + line, flush=True)
        last = line if line.startswith('vm: ended') else last
    return None if last == 'vm: ended with 0' else '# ' + (last or 'the machine did not come to its end')


if __name__ == '__main__':
    sys.exit(main())
