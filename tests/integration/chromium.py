"""chromium.py - a headless Chromium for tests, driven by chromedriver.

Plain HTTP and JSON on a port of this machine; nothing else is spoken to.
Each browser has an empty profile of its own and ends with the `with` block.
"""
import base64
import json
import os
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request

FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-dev-shm-usage',
         '--disable-background-networking', '--disable-component-update', '--disable-sync', '--hide-scrollbars']
KEYS = {'enter': '\ue007', 'escape': '\ue00c', 'up': '\ue013', 'down': '\ue015', 'left': '\ue012', 'right': '\ue014'}


def missing():
    """What is not installed, or None."""
    for program in ('chromium', 'chromedriver'):
        if not shutil.which(program):
            return program
    return None


class Browser:
    def __init__(self, profile, dark=False, width=1280, height=900):
        self.profile, self.dark, self.size, self.session = profile, dark, (width, height), None

    def __enter__(self):
        os.mkdir(self.profile)
        environment = {k: v for k, v in os.environ.items() if not k.lower().endswith('_proxy') and k != 'LD_PRELOAD'}
        self.driver = subprocess.Popen(['chromedriver', '--port=0'], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                       stderr=subprocess.DEVNULL, text=True, env=dict(environment, HOME=self.profile))
        try:
            self.port = self.find_port()
            arguments = FLAGS + ['--user-data-dir=' + self.profile, '--window-size=%d,%d' % self.size]
            if self.dark:
                arguments.append('--force-dark-mode')
            answer = self.ask('POST', '', {'capabilities': {'alwaysMatch': {
                'goog:loggingPrefs': {'browser': 'ALL'},
                'goog:chromeOptions': {'binary': shutil.which('chromium'), 'args': arguments}}}})
            self.session = answer['sessionId']
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        try:
            if self.session:
                self.ask('DELETE', '')
        finally:
            self.driver.terminate()
            self.driver.wait(20)
            self.driver.stdout.close()

    def find_port(self):
        for line in self.driver.stdout:
            found = re.search(r'successfully on port (\d+)', line)
            if found:
                return int(found.group(1))
        raise RuntimeError('chromedriver did not start')

    def ask(self, method, path, body=None):
        url = 'http://127.0.0.1:%d/session%s%s' % (self.port, '/' + self.session if self.session else '', path)
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, {'Content-Type': 'application/json'}, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=60) as r:
                return json.load(r)['value']
        except urllib.error.HTTPError as e:
            raise RuntimeError('%s %s: %s' % (method, path, e.read().decode()[:800])) from None

    def open(self, path):
        self.ask('POST', '/url', {'url': 'file://' + path})

    def run(self, script, *arguments):
        return self.ask('POST', '/execute/sync', {'script': script, 'args': list(arguments)})

    def becomes(self, script):
        """True once the script's value is true; False after five seconds."""
        end = time.monotonic() + 5
        while not self.run(script):
            if time.monotonic() > end:
                return False
            time.sleep(0.05)
        return True

    def text(self, selector):
        return self.run('return document.querySelector(arguments[0]).textContent', selector)

    def keys(self, *names):
        """Pressed one after the other, where the focus is."""
        actions = []
        for name in names:
            key = KEYS.get(name, name)
            actions += [{'type': 'keyDown', 'value': key}, {'type': 'keyUp', 'value': key}]
        self.ask('POST', '/actions', {'actions': [{'type': 'key', 'id': 'keys', 'actions': actions}]})

    def click(self, selector, x=None, y=None):
        """In the middle of an element, or x, y from its upper left corner."""
        place = self.run('''const e = document.querySelector(arguments[0]);
            e.scrollIntoView({block: 'center'});
            const r = e.getBoundingClientRect();
            return [r.left + (arguments[1] === null ? r.width / 2 : arguments[1]),
                r.top + (arguments[2] === null ? r.height / 2 : arguments[2])];''', selector, x, y)
        move = {'type': 'pointerMove', 'duration': 0, 'x': round(place[0]), 'y': round(place[1]), 'origin': 'viewport'}
        self.ask('POST', '/actions', {'actions': [{'type': 'pointer', 'id': 'mouse', 'actions': [
            move, {'type': 'pointerDown', 'button': 0}, {'type': 'pointerUp', 'button': 0}]}]})

    def messages(self):
        return self.ask('POST', '/se/log', {'type': 'browser'})

    def picture(self, path):
        with open(path, 'wb') as f:
            f.write(base64.b64decode(self.ask('GET', '/screenshot')))
