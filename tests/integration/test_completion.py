"""Completion: what bash, zsh and fish offer when somebody presses Tab behind `shs ...`."""

import os
import pty
import re
import select
import shutil
import subprocess
import tempfile
import time

import shslib

LIMIT = 60

# The words of the command line, the last one being completed, and what must be offered and what must not.
CASES = [
    (["la"], {"lab"}, {"serve"}),
    (["lab", ""], {"serve", "run", "check-server"}, {"exec"}),
    (["lab", "run", "--pre"], {"--preset"}, {"--profile"}),
    (["serve", "--hand"], {"--handler"}, set()),
    (["serve", "--handler", ""], {"files", "echo", "whoami"}, {"a.pem"}),
    (["serve", "--cert", ""], {"a.pem"}, {"whoami"}),
    (["serve", ""], {"folder"}, {"a.pem"}),
    (["ctl", "--socket", "/nowhere", "conn"], {"connections"}, {"--socket"}),
    (["completion", ""], {"bash", "zsh", "fish"}, {"a.pem"}),
]


def completion(shell):
    code, text, said = shslib.run(os.environ["SHS_BIN"], "completion", shell)
    shslib.equal((code, said), (0, ""), "shs completion " + shell)
    return text


def there(shell):
    if shutil.which(shell) is None:
        print(f"{shell} is not installed: left out")
        return False
    return True


class Folder:
    """A directory with the completion, a file, and a folder."""

    def __init__(self, shell):
        self.made = tempfile.TemporaryDirectory(prefix="shs-completion-")
        self.path = self.made.name
        self.shell = shell

    def __enter__(self):
        os.mkdir(self.path + "/here")
        os.mkdir(self.path + "/here/folder")
        os.mkdir(self.path + "/fpath")
        open(self.path + "/here/a.pem", "w", encoding="utf-8").close()
        self.script = self.path + "/fpath/_shs"
        with open(self.script, "w", encoding="utf-8") as f:
            f.write(completion(self.shell))
        return self

    def __exit__(self, *_):
        self.made.cleanup()

    def run(self, command):
        env = {**os.environ, "HOME": self.path, "LC_ALL": "C.UTF-8"}
        done = subprocess.run(command, cwd=self.path + "/here", env=env, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=LIMIT, check=False)
        shslib.equal((done.returncode, done.stderr), (0, ""), " ".join(command[:2]))
        return done.stdout


def judge(words, offered, wanted, unwanted):
    offered = {word.rstrip("/") for word in offered}
    shslib.equal((wanted - offered, unwanted & offered), (set(), set()), f"shs {' '.join(words)}: {sorted(offered)}")


def bash():
    if not there("bash"):
        return
    with Folder("bash") as here:
        for words, wanted, unwanted in CASES + [(["serve", "--handler", "=", "w"], {"whoami"}, {"files"}),
                                                (["serve", "--handler", "="], {"whoami", "files"}, {"folder"})]:
            offered = here.run(["bash", "-c", 'source "$0"; COMP_WORDS=(shs "$@"); COMP_CWORD=$#; _shs; '
                                'printf "%s\\n" "${COMPREPLY[@]}"', here.script, *words])
            judge(words, offered.split(), wanted, unwanted)
        shslib.equal(here.run(["bash", "-c", 'source "$0"; complete -p shs', here.script]),
                     "complete -F _shs shs\n", "bash knows whose completion it is")


def fish():
    if not there("fish"):
        return
    with Folder("fish") as here:
        for words, wanted, unwanted in CASES:
            offered = here.run(["fish", "-c", f'source {here.script}; complete -C "shs {" ".join(words)}"'])
            names = [line.split("\t")[0] for line in offered.splitlines()]
            # From fish 4 on also what has the letters in this order, behind what begins with them.
            judge(words, [name for name in names if name.startswith(words[-1])], wanted, unwanted)


class Terminal:
    """zsh at a terminal: completion is nowhere else."""

    def __init__(self, here):
        self.text = ""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(here.path + "/here")
            os.execvpe("zsh", ["zsh", "-f", "-i"], {**os.environ, "HOME": here.path, "TERM": "dumb", "LC_ALL": "C.UTF-8"})

    def send(self, text):
        os.write(self.fd, text.encode())

    def until(self, what):
        """What comes, up to a match of `what`."""
        end = time.monotonic() + LIMIT
        while not re.search(what, self.text):
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.fd], [], [], left)[0]:
                raise AssertionError(f"zsh did not print {what!r}, but {self.text[-500:]!r}")
            self.text += os.read(self.fd, 65536).decode(errors="replace")
        seen, self.text = self.text, ""
        return seen

    def end(self):
        os.close(self.fd)
        os.waitpid(self.pid, 0)


def zsh():
    if not there("zsh"):
        return
    with Folder("zsh") as here:
        here.run(["zsh", "-f", "-n", here.script])
        terminal = Terminal(here)
        # What is offered is shown by a widget of ours, one line: nothing depends on how lists are drawn.
        terminal.send("PS1=; unsetopt zle_bracketed_paste; fpath=($HOME/fpath $fpath); autoload -Uz compinit; "
                      "compinit -u -D; compadd () { local -a d; builtin compadd -O d \"$@\"; "
                      "print -r -- \"${d[@]}\" >> $HOME/offered; builtin compadd \"$@\" }; "
                      "show () { zle list-choices; print -r -- DONE-$(( 6 * 7 )) > $HOME/done; }; zle -N show; "
                      "bindkey '^T' show; print READY-$(( 6 * 7 ))\n")
        terminal.until("READY-42")
        for words, wanted, unwanted in CASES:
            for name in ("offered", "done"):
                if os.path.exists(f"{here.path}/{name}"):
                    os.remove(f"{here.path}/{name}")
            terminal.send("\x15shs " + " ".join(words) + "\x14")
            shslib.wait_until(lambda: os.path.exists(here.path + "/done"), LIMIT, "the list of zsh")
            with open(here.path + "/offered", encoding="utf-8") as f:
                judge(words, re.split(r"\s+|:", f.read()), wanted, unwanted)
        terminal.send("\x15exit\n")
        terminal.end()


shslib.main(bash, fish, zsh)
