#!/usr/bin/env python3
"""Makes one C file of texts: embed.py OUT.c OUT.h FILE...

leaks.sql becomes `const char sql_leaks[]`, page.css `const char css_page[]`.
Comment lines stay: in SQL they show up in sqlite3's own messages, and in a
page they help whoever reads its source.
"""
import os
import sys

out_c, out_h, *files = sys.argv[1:]
header, source = ["#pragma once"], ['#include "%s"' % os.path.basename(out_h)]
for path in sorted(files):
    base, extension = os.path.splitext(os.path.basename(path))
    name = "%s_%s" % (extension[1:], base)
    header.append("extern const char %s[];" % name)
    source.append("const char %s[] =" % name)
    with open(path, encoding="utf-8") as f:
        for line in f:
            line = line.rstrip("\n").replace("\\", "\\\\").replace('"', '\\"')
            source.append('\t"%s\\n"' % line)
    source.append("\t;")
for path, lines in ((out_c, source), (out_h, header)):
    with open(path, "w", encoding="utf-8") as f:
        f.write("\n".join(lines) + "\n")
