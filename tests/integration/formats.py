"""formats.py - what files in other people's formats must look like.

SARIF: the parts of version 2.1.0 (OASIS, section 3) that mmscope writes, as a
table: each object with its required and its allowed properties.  A property
that is not in the table is a fault, as in the official schema, which forbids
unknown ones.  speedscope: the same for its file-format-schema.json.
"""
import re



class Obj:
    def __init__(self, required, **optional):
        self.required, self.properties = required, dict(required, **optional)


MESSAGE = Obj({'text': str})
REGION = Obj({'startLine': 'positive'})
ARTIFACT = Obj({'uri': 'uri'}, uriBaseId=str, index=int)
PHYSICAL = Obj({'artifactLocation': ARTIFACT}, region=REGION)
LOGICAL = Obj({'fullyQualifiedName': str}, kind=str, name=str)
LOCATION = Obj({}, id=int, physicalLocation=PHYSICAL, logicalLocations=[LOGICAL], message=MESSAGE)
FRAME = Obj({}, location=LOCATION, module=str, threadId=int, parameters=[str])
STACK = Obj({'frames': [FRAME]}, message=MESSAGE)
RESULT = Obj({'message': MESSAGE}, ruleId=str, ruleIndex='index', level=('none', 'note', 'warning', 'error'),
             locations=[LOCATION], stacks=[STACK], partialFingerprints={'key': str})
RULE = Obj({'id': str}, shortDescription=MESSAGE, fullDescription=MESSAGE)
DRIVER = Obj({'name': str}, version=str, informationUri='uri', rules=[RULE])
RUN = Obj({'tool': Obj({'driver': DRIVER})}, results=[RESULT], columnKind=('utf16CodeUnits', 'unicodeCodePoints'))
SARIF = Obj({'version': ('2.1.0',), 'runs': [RUN]}, **{'$schema': 'uri'})
# RFC 3986: what may stand in a reference.
URI = re.compile(r"(?:[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})+")


def shape_faults(value, shape, where):
    if isinstance(shape, Obj):
        if not isinstance(value, dict):
            yield '%s is no object' % where
            return
        for key in shape.required:
            if key not in value:
                yield '%s has no %s' % (where, key)
        for key, item in value.items():
            if key not in shape.properties:
                yield '%s has an unknown %s' % (where, key)
            else:
                yield from shape_faults(item, shape.properties[key], '%s.%s' % (where, key))
    elif isinstance(shape, list):
        if not isinstance(value, list):
            yield '%s is no array' % where
            return
        for i, item in enumerate(value):
            yield from shape_faults(item, shape[0], '%s[%d]' % (where, i))
    elif isinstance(shape, dict):
        for key, item in value.items():
            yield from shape_faults(item, shape['key'], '%s.%s' % (where, key))
    elif isinstance(shape, tuple):
        if value not in shape:
            yield '%s is %r' % (where, value)
    elif shape == 'uri':
        if not isinstance(value, str) or not URI.fullmatch(value):
            yield '%s is no URI: %r' % (where, value)
    elif shape in ('positive', 'index'):
        if type(value) is not int or value < (shape == 'positive'):
            yield '%s is %r' % (where, value)
    elif shape == 'number':
        if type(value) not in (int, float):
            yield '%s is %r' % (where, value)
    elif type(value) is not shape:
        yield '%s is %r' % (where, value)


def sarif_faults(sarif):
    yield from shape_faults(sarif, SARIF, 'sarif')
    for run in sarif['runs']:
        rules = [r['id'] for r in run['tool']['driver'].get('rules', [])]
        if len(set(rules)) != len(rules):
            yield 'rule ids are not unique'
        for result in run['results']:
            if rules[result['ruleIndex']] != result['ruleId']:
                yield 'ruleIndex and ruleId disagree'


# speedscope's file-format-schema.json, version 0.6.
NUMBER = 'number'
SAMPLED = Obj({'type': ('sampled',), 'name': str, 'unit': ('none', 'nanoseconds', 'microseconds', 'milliseconds', 'seconds', 'bytes'),
               'startValue': NUMBER, 'endValue': NUMBER, 'samples': [['index']], 'weights': [NUMBER]})
SPEEDSCOPE = Obj({'$schema': ('https://www.speedscope.app/file-format-schema.json',), 'profiles': [SAMPLED],
                  'shared': Obj({'frames': [Obj({'name': str}, file=str, line=NUMBER, col=NUMBER)]})},
                 name=str, activeProfileIndex=NUMBER, exporter=str)
