"""run.sh with Pythons that are shell scripts, in a copy of the project; one start is real.

The PATH holds these and the few coreutils that run.sh may use, nothing else.
"""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.ports import free_port

PROJECT = Path(__file__).parent.parent

# What run.sh may call.
TOOLS = ("cat", "cksum", "dirname", "ls", "mkdir", "readlink", "rm")

# A Python that answers run.sh's questions and notes what it was told. Without venv it is a copy.
FAKE_PYTHON = """\
#!/bin/sh
case "$*" in
*fcntl*) exec {real} "$@" ;;
*ensurepip*) echo "{version} {venv}" ;;
"-I -S "*) echo "{version}" ;;
"-m venv "*) mkdir -p "$3/bin" && cat "$0" >"$3/bin/python" && {chmod} +x "$3/bin/python" ;;
"-m pip "*)
    echo "pip $*" >>"{log}"
    {pip}
    ;;
*)
    echo "$PWD"
    for argument; do echo "$argument"; done
    ;;
esac
"""

SHIM = "#!/bin/sh\necho 'pyenv: python3.13: command not found' >&2\nexit 127\n"


@dataclass(frozen=True)
class Project:
    """A copy of what run.sh needs, and a PATH of its own."""

    root: Path
    bin: Path
    log: Path

    @property
    def venv(self) -> Path:
        return self.root / ".venv"

    def add_python(
        self, name: str, version: str, *, venv: bool = True, pip: str = ":", folder: str = ""
    ) -> Path:
        text = FAKE_PYTHON.format(
            version=version,
            venv="venv" if venv else "no-venv",
            log=self.log,
            pip=pip,
            real=sys.executable,
            chmod=shutil.which("chmod"),
        )
        return self.add_script(name, text, folder=folder)

    def add_script(self, name: str, text: str, *, folder: str = "") -> Path:
        path = self.bin.parent / folder / name if folder else self.bin / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
        return path

    def environ(self) -> dict[str, str]:
        # All that a developer may have set for run.sh is left out.
        return {"PATH": str(self.bin), "HOME": str(self.root)}

    def run(
        self,
        *arguments: str,
        script: Path | None = None,
        cwd: Path | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [script or self.root / "run.sh", *arguments],
            cwd=cwd,
            env={**self.environ(), **(environ or {})},
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )

    def installs(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def project(tmp_path: Path) -> Project:
    root, folder = tmp_path / "a project", tmp_path / "bin"
    root.mkdir()
    folder.mkdir()
    for name in ("run.sh", "pyproject.toml"):
        shutil.copy(PROJECT / name, root)
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found
        (folder / tool).symlink_to(found)
    return Project(root, folder, tmp_path / "log")


def assert_one_line(done: subprocess.CompletedProcess[str], code: int = 1) -> str:
    assert done.returncode == code
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("docxy: ")
    return done.stderr.removeprefix("docxy: ").rstrip("\n")


# ---- Commands


@pytest.mark.parametrize("word", ["help", "-h", "--help"])
def test_help_needs_nothing(project: Project, word: str) -> None:
    done = project.run(word)
    assert (done.returncode, done.stderr) == (0, "")
    for command in ("[options]", "inspect", "record FILE", "demo", "bench", "test"):
        assert f"./run.sh {command}" in done.stdout
    for command in ("install --domain", "uninstall"):
        assert f"sudo ./run.sh {command}" in done.stdout
    assert project.installs() == []


def test_an_unknown_command_is_no_filter(project: Project) -> None:
    line = assert_one_line(project.run("dmeo"), code=2)
    assert line == (
        "there is no command 'dmeo' (./run.sh help); a mitmproxy filter stands after --"
    )


STARTS = {
    "the mirror": ([], ["-P", "-m", "addon.launch"]),
    "options": (
        ["-p", "81", "--set", "docxy_official=", "a b"],
        ["-P", "-m", "addon.launch", "-p", "81", "--set", "docxy_official=", "a b"],
    ),
    "a filter": (["--", "~u a b"], ["-P", "-m", "addon.launch", "--", "~u a b"]),
    "the page": (["inspect", "-p", "81"], ["-P", "-m", "addon.inspector", "-p", "81"]),
    "the terminal": (["inspect", "--console"], ["-P", "-m", "addon.inspector", "--console"]),
    "a recording": (
        ["record", "a file", "--", "c", "--", "a b"],
        ["-P", "-m", "addon.recorder", "a file", "--", "c", "--", "a b"],
    ),
    "the demo": (["demo", "--stay"], ["-m", "tests.demo", "--stay"]),
    "the benchmark": (["bench", "--quick"], ["-m", "tests.bench", "--quick"]),
    "the tests": (["test", "-k", "a b"], ["-m", "pytest", "-k", "a b"]),
}


@pytest.mark.parametrize(("said", "told"), STARTS.values(), ids=STARTS.keys())
def test_words_pass_on_as_they_are(project: Project, said: list[str], told: list[str]) -> None:
    project.add_python("python3", "3.12.4")
    assert project.run(*said).stdout.splitlines()[1:] == told


@pytest.mark.parametrize("command", ["install", "uninstall"])
def test_the_installer_runs_with_the_systems_python_and_leaves_nothing(
    project: Project, command: str
) -> None:
    # Not what happens to be on the PATH of whoever becomes root.
    project.add_python("python3.14", "3.14.1")
    named = project.add_python("system", "3.11.2", folder="usr")
    done = project.run(command, "--a", "b c", environ={"DOCXY_PYTHON": str(named)})
    told = ["-P", "-B", "-m", "addon.install.command", command, "--a", "b c"]
    assert done.stdout.splitlines()[1:] == told
    assert not project.venv.exists()
    assert "3.14.1" not in project.run(command, "--help").stdout


def test_the_mirror_stays_where_the_user_is(project: Project, tmp_path: Path) -> None:
    project.add_python("python3", "3.12.4")
    assert project.run(cwd=tmp_path).stdout.splitlines()[0] == str(tmp_path)


@pytest.mark.parametrize("command", ["demo", "bench", "test"])
def test_demo_benchmark_and_tests_run_in_the_project(
    project: Project, tmp_path: Path, command: str
) -> None:
    project.add_python("python3", "3.12.4")
    assert project.run(command, cwd=tmp_path).stdout.splitlines()[0] == str(project.root)


def test_a_symlink_leads_to_the_project(project: Project, tmp_path: Path) -> None:
    project.add_python("python3", "3.12.4")
    (tmp_path / "docxy").symlink_to(project.root / "run.sh")
    assert project.run(script=tmp_path / "docxy", cwd=tmp_path).returncode == 0
    assert (project.venv / "bin" / "python").exists()


# ---- Python


def python_used(project: Project, **environ: str) -> str:
    done = project.run(environ=environ)
    assert done.returncode == 0, done.stderr
    asked = [str(project.venv / "bin" / "python"), "-I", "-S", "-c", ""]
    return subprocess.run(asked, capture_output=True, text=True).stdout.strip()


def test_the_newest_python_is_taken_whatever_its_name(project: Project) -> None:
    project.add_python("python3.11", "3.11.9")
    project.add_python("python3", "3.13.1")
    project.add_python("python3.12", "3.12.10")
    assert python_used(project) == "3.13.1"


def test_the_python_that_is_named_wins(project: Project) -> None:
    project.add_python("python3", "3.13.1")
    named = project.add_python("python-of-mine", "3.11.9")
    assert python_used(project, DOCXY_PYTHON=named.name) == "3.11.9"


def test_naming_another_python_makes_the_environment_anew(project: Project) -> None:
    project.add_python("python3", "3.13.1")
    named = project.add_python("python-of-mine", "3.11.9")
    assert python_used(project) == "3.13.1"
    assert python_used(project, DOCXY_PYTHON=str(named)) == "3.11.9"
    assert python_used(project, DOCXY_PYTHON=str(named)) == "3.11.9"
    assert len(project.installs()) == 2


def test_a_shim_that_only_prints_an_error_does_not_count(project: Project) -> None:
    project.add_script("python3.13", SHIM)
    project.add_python("python3.12", "3.12.10")
    assert python_used(project) == "3.12.10"


def test_a_shim_does_not_hide_a_python_of_its_name(project: Project, tmp_path: Path) -> None:
    project.add_script("python3.13", SHIM)
    project.add_python("python3.13", "3.13.1", folder="other bin")
    assert python_used(project, PATH=f"{project.bin}:{tmp_path / 'other bin'}") == "3.13.1"


def test_a_python_without_venv_is_passed_over(project: Project) -> None:
    project.add_python("python3.13", "3.13.1", venv=False)
    project.add_python("python3.11", "3.11.2")
    assert python_used(project) == "3.11.2"


NEEDS = "needs Python 3.11 or newer with its venv module; found: "

UNUSABLE: dict[str, tuple[Callable[[Project], object], str]] = {
    "none": (lambda _: None, "none"),
    "too old": (lambda p: p.add_python("python3", "3.9.2"), "python3 is 3.9.2 (too old)"),
    "older still, without venv": (
        lambda p: p.add_python("python", "2.7.18", venv=False),
        "python is 2.7.18 (too old)",
    ),
    "no venv": (
        lambda p: p.add_python("python3", "3.11.2", venv=False),
        "python3 is 3.11.2 without its venv module (apt install python3.11-venv)",
    ),
    "a shim": (lambda p: p.add_script("python3.13", SHIM), "python3.13 does not run"),
    "several": (
        lambda p: (p.add_script("python3.13", SHIM), p.add_python("python3", "3.9.2")),
        "python3.13 does not run, python3 is 3.9.2 (too old)",
    ),
}


@pytest.mark.parametrize(("prepare", "found"), UNUSABLE.values(), ids=UNUSABLE.keys())
def test_without_a_python_one_line_says_what_was_found(
    project: Project, prepare: Callable[[Project], object], found: str
) -> None:
    prepare(project)
    assert assert_one_line(project.run()) == NEEDS + found
    # A folder that is on the PATH twice is not told twice.
    twice = f"{project.bin}:{project.bin}"
    assert assert_one_line(project.run(environ={"PATH": twice})) == NEEDS + found
    assert not project.venv.exists()


# ---- Installing


def test_it_installs_once(project: Project) -> None:
    project.add_python("python3", "3.12.4")
    first, second = project.run(), project.run()
    assert first.stderr.count("\n") == 1
    assert "installing into" in first.stderr
    assert second.stderr == ""
    assert [line.rpartition(" ")[2] for line in project.installs()] == [".[demo]"]


def test_the_tests_install_what_they_need_beside_it(project: Project) -> None:
    project.add_python("python3", "3.12.4")
    for command in ("demo", "bench", "test", "test", "demo", "bench"):
        project.run(command)
    assert [line.rpartition(" ")[2] for line in project.installs()] == [".[demo]", ".[test]"]


def test_the_mirror_runs_in_the_environment_of_the_tests(project: Project) -> None:
    project.add_python("python3", "3.12.4")
    project.run("test")
    assert project.run("demo").stderr == ""


def test_a_changed_pyproject_is_installed(project: Project) -> None:
    project.add_python("python3", "3.12.4")
    project.run()
    (project.venv / "kept").touch()
    with (project.root / "pyproject.toml").open("a") as file:
        file.write("# changed\n")
    project.run()
    assert len(project.installs()) == 2
    assert (project.venv / "kept").exists()


def test_a_project_that_moved_is_installed(project: Project) -> None:
    project.add_python("python3", "3.12.4")
    project.run()
    moved = project.root.rename(project.root.with_name("moved"))
    assert project.run(script=moved / "run.sh").returncode == 0
    assert len(project.installs()) == 2


def test_an_environment_whose_python_is_gone_is_made_anew(project: Project) -> None:
    project.add_python("python3", "3.12.4")
    project.run()
    python = project.venv / "bin" / "python"
    python.unlink()
    python.symlink_to("/no/such/python")
    done = project.run()
    assert done.returncode == 0
    assert done.stdout
    assert len(project.installs()) == 2


def test_an_environment_that_may_not_be_removed_is_named(project: Project) -> None:
    # Another user's, with a Python in that one's home.
    project.add_python("python3", "3.12.4")
    project.run()
    (project.venv / "bin" / "python").unlink()
    (project.bin / "rm").unlink()
    project.add_script("rm", "#!/bin/sh\necho 'rm: cannot remove' >&2\nexit 1\n")
    assert assert_one_line(project.run()).startswith(f"{project.venv} is of no use to this user")


def test_an_environment_elsewhere_is_used(project: Project, tmp_path: Path) -> None:
    project.add_python("python3", "3.12.4")
    assert project.run(environ={"DOCXY_VENV": "my venv"}, cwd=tmp_path).returncode == 0
    assert (tmp_path / "my venv" / "bin" / "python").exists()
    assert not project.venv.exists()


def test_a_folder_that_is_no_environment_is_not_touched(project: Project, tmp_path: Path) -> None:
    project.add_python("python3", "3.12.4")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter").write_text("dear")
    line = assert_one_line(project.run(environ={"DOCXY_VENV": str(tmp_path / "mine")}))
    assert "is not a virtual environment that works" in line
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["letter"]


PIP_FAILS = {
    "no network": (
        "WARNING: Retrying after connection broken by 'NewConnectionError(...)'\n"
        "      ERROR: Could not find a version that satisfies the requirement setuptools>=69\n"
        "      ERROR: No matching distribution found for setuptools>=69\n"
        "error: subprocess-exited-with-error",
        "cannot install: the package index cannot be reached (no network?): "
        "No matching distribution found for setuptools>=69",
    ),
    "anything else": (
        "ERROR: Could not install packages due to an OSError: No space left on device",
        "cannot install: Could not install packages due to an OSError: No space left on device",
    ),
    "nothing said": ("", "cannot install: pip failed"),
}


@pytest.mark.parametrize(("output", "line"), PIP_FAILS.values(), ids=PIP_FAILS.keys())
def test_a_failed_installation_is_one_line_and_is_redone(
    project: Project, output: str, line: str
) -> None:
    (project.root / "output").write_text(output + "\n")
    project.add_python("python3", "3.12.4", pip=f"cat '{project.root}/output'; exit 1")
    done = project.run()
    assert (done.returncode, done.stdout) == (1, "")
    installing, failed = done.stderr.splitlines()
    assert "installing into" in installing
    assert failed == f"docxy: {line}; see {project.venv}/docxy-install.log"

    project.add_python("python3", "3.12.4")
    assert project.run().returncode == 0
    assert len(project.installs()) == 2


def wait_until(condition: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def start(project: Project, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [project.root / "run.sh", *arguments],
        env=project.environ(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_an_interrupted_installation_is_redone(project: Project) -> None:
    sleep = shutil.which("sleep")
    project.add_python("python3", "3.12.4", pip=f"exec {sleep} 60")
    killed = start(project)
    wait_until(lambda: len(project.installs()) == 1)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()

    project.add_python("python3", "3.12.4")
    done = project.run()
    assert (done.returncode, len(project.installs())) == (0, 2)
    assert project.run().stderr == ""


def test_two_first_starts_at_once_install_once(project: Project) -> None:
    go = project.root / "go"
    sleep = shutil.which("sleep")
    wait = f"while [ ! -e '{go}' ]; do {sleep} 0.05; done"
    project.add_python("python3", "3.12.4", pip=wait)
    first, second = start(project, "-p", "1"), start(project, "-p", "2")
    wait_until(lambda: len(project.installs()) == 1)
    time.sleep(0.3)  # for the other to come to the lock; were there none, it would install too
    go.touch()
    outputs = [each.communicate(timeout=60)[0] for each in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0)
    assert [output.splitlines()[-1] for output in outputs] == ["1", "2"]
    assert len(project.installs()) == 1


# ---- The real thing


def answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


@pytest.mark.timeout(600)
def test_a_real_second_start_installs_nothing_and_listens_within_3_seconds(tmp_path: Path) -> None:
    environ = {
        **os.environ,
        "DOCXY_VENV": str(tmp_path / "a venv"),
        "DOCXY_STATE_DIR": str(tmp_path / "state"),
        "DOCXY_PYTHON": sys.executable,
        "NO_PROXY": "127.0.0.1",
    }
    for name in ("CERT_PATH", "KEY_PATH", "DOMAIN"):
        environ.pop(name, None)
    run_sh = str(PROJECT / "run.sh")

    installed = subprocess.run(
        [run_sh, "--version"], cwd=tmp_path, env=environ, capture_output=True, text=True
    )
    assert installed.returncode == 0, installed.stderr
    assert "Mitmproxy" in installed.stdout
    version = installed.stdout

    took = []
    for _ in range(3):
        port = free_port()
        began = time.monotonic()
        mirror = subprocess.Popen(
            [run_sh, "-p", str(port), "--set", "docxy_acme_home="],
            cwd=tmp_path,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            wait_until(lambda: mirror.poll() is not None or answers(port))  # noqa: B023
            took.append(time.monotonic() - began)
            taken = subprocess.run(
                [run_sh, "-p", str(port), "--set", "docxy_acme_home="],
                cwd=tmp_path,
                env=environ,
                capture_output=True,
                text=True,
            )
        finally:
            mirror.send_signal(signal.SIGTERM)
            output, _ = mirror.communicate(timeout=30)
        assert mirror.returncode == 0, output
        assert "installing" not in output
        assert taken.returncode == 2
        assert taken.stderr == (
            f"docxy: port {port} on 127.0.0.1 is taken by another program;"
            " choose another with -p PORT\n"
        )
    # The fastest of three: other tests' leftovers may hold the machine for a moment.
    assert min(took) < 3, (took, version)
