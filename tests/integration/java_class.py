"""java_class.py - a class file, written by hand: no compiler of Java is needed.

    starts(name)    class NAME, whose main starts its arguments as a command
                    with its own input and output, waits, and ends as it ended

    new ProcessBuilder(args).inheritIO().start().waitFor() -> System.exit
"""
import struct


class Pool:
    """The constants of a class, numbered from 1."""

    def __init__(self):
        self.numbers, self.bytes = {}, b''

    def add(self, entry):
        if entry not in self.numbers:
            self.numbers[entry] = len(self.numbers) + 1
            self.bytes += entry
        return self.numbers[entry]

    def text(self, s):
        return self.add(struct.pack('>BH', 1, len(s)) + s.encode())

    def named(self, tag, *numbers):
        return self.add(struct.pack('>B%dH' % len(numbers), tag, *numbers))

    def cls(self, name):
        return self.named(7, self.text(name))

    def method(self, owner, name, kind):
        return self.named(10, self.cls(owner), self.named(12, self.text(name), self.text(kind)))


def starts(name):
    pool, builder, process = Pool(), 'java/lang/ProcessBuilder', 'java/lang/Process'
    code = b''.join((
        struct.pack('>BHBB', 0xbb, pool.cls(builder), 0x59, 0x2a),  # new, dup, args
        struct.pack('>BH', 0xb7, pool.method(builder, '<init>', '([Ljava/lang/String;)V')),
        struct.pack('>BH', 0xb6, pool.method(builder, 'inheritIO', '()Ljava/lang/ProcessBuilder;')),
        struct.pack('>BH', 0xb6, pool.method(builder, 'start', '()Ljava/lang/Process;')),
        struct.pack('>BH', 0xb6, pool.method(process, 'waitFor', '()I')),
        struct.pack('>BH', 0xb8, pool.method('java/lang/System', 'exit', '(I)V')),
        b'\xb1'))  # return
    body = struct.pack('>HHI', 3, 1, len(code)) + code + struct.pack('>HH', 0, 0)
    main = struct.pack('>HHHH', 9, pool.text('main'), pool.text('([Ljava/lang/String;)V'), 1) + \
        struct.pack('>HI', pool.text('Code'), len(body)) + body
    own, base = pool.cls(name), pool.cls('java/lang/Object')
    return struct.pack('>IHHH', 0xcafebabe, 0, 49, len(pool.numbers) + 1) + pool.bytes + \
        struct.pack('>HHHHHH', 0x21, own, base, 0, 0, 1) + main + struct.pack('>H', 0)
