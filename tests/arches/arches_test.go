// Package arches runs what is about words, layouts and system call numbers on
// other processors, with QEMU's emulation of a process: tests of packages, built
// for each of them, and transcripts of the command line with launches. The
// programs of every architecture that packages are made for are built.
//
// A VRF, a lock and netns-publish cannot be run in this way: QEMU passes bpf(2)
// and seccomp(2) on to no kernel. Package kernel has those on 386.
package arches

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"openrc-netns/tests/internal/build"
	"openrc-netns/tests/kit"
)

// arch is one that the programs are for, and what QEMU calls it.
type arch struct{ goarch, qemu string }

var archs = []arch{
	{"s390x", "s390x"},
	{"arm", "arm"},
	{"386", "i386"},
	{"arm64", "aarch64"},
	{"loong64", "loongarch64"},
	{"ppc64le", "ppc64le"},
	{"riscv64", "riscv64"},
}

// packages are those whose tests are run.
var packages = []string{
	"cgroup", "confd", "mounts", "namespace", "option", "sandbox", "shell", "vrf",
}

// cannot are tests that QEMU cannot run: that of mounts fails for a program of
// this machine's own architecture too, those of vrf execute themselves, which are
// no programs of this machine's kernel.
var cannot = map[string]string{
	"mounts": "TestBindAgain",
	"vrf": "TestMPTCPGetsOutOfIPVRF|TestMPTCPIsRefused|TestMPTCPIsRefusedBelow|TestLockAndMPTCP|TestCheckBoundKnowsMPTCP|" +
		"TestEveryOtherSocket|TestAcceptedSocketIsBound|TestSocketOfIOUring|TestProgram|TestUndoTakesTheProgramOff",
}

// each runs a test for each architecture, with the path of its QEMU. Its package is
// not installed, and the kernel is told nothing of it. It is that of Debian 13:
// before QEMU 8, the threads of a program for 386 had one another's storage.
func each(t *testing.T, f func(t *testing.T, a arch, qemu string)) {
	root := kit.Root(t, "qemu-user", "trixie", "--variant=extract", "--include=qemu-user")
	for _, a := range archs {
		t.Run(a.goarch, func(t *testing.T) { f(t, a, filepath.Join(root, "usr/bin/qemu-"+a.qemu)) })
	}
}

// command is one for another architecture, in the root of the tree.
func command(a arch, name string, args ...string) *exec.Cmd {
	cmd := build.Command(name, args...)
	cmd.Env = append(cmd.Env, "GOARCH="+a.goarch, "GOARM=7")
	return cmd
}

// run runs a command that has to succeed.
func run(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%q: %v\n%s", cmd.Args, err, out)
	}
}

func TestPackages(t *testing.T) {
	kit.Whole(t)
	each(t, func(t *testing.T, a arch, qemu string) {
		dir := t.TempDir()
		args := []string{"test", "-c", "-vet=off", "-o", dir + "/"}
		for _, p := range packages {
			args = append(args, "./internal/"+p)
		}
		run(t, command(a, "go", args...))
		for _, p := range packages {
			t.Run(p, func(t *testing.T) {
				cmd := exec.CommandContext(t.Context(), qemu, filepath.Join(dir, p+".test"), "-test.skip", "^("+cannot[p]+")$")
				cmd.Dir = "../../internal/" + p
				cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
				run(t, cmd)
			})
		}
	})
}

// notEmulated are transcripts of tests/cli that QEMU cannot run.
var notEmulated = map[string]string{
	"cgroup_option":   noBPF,
	"dry_run":         noBPF,
	"failed_start":    noBPF,
	"lock_in_chroot":  noBPF,
	"chroot":          "QEMU is not in the chroot",
	"environment":     "QEMU sorts the environment",
	"failed_look":     limits,
	"few_descriptors": limits,
	"old_kernel":      limits,
	"open_files":      limits,
	"setuid_bit":      "the bit is on the script that calls QEMU",
	"vrf_refused":     "ioctl SIOCETHTOOL is not passed on",
}

const (
	noBPF  = "bpf(2) is not passed on"
	limits = "QEMU needs what the command is to do without"
)

// The command line is as a user sees it, with real launches.
func TestCommandLine(t *testing.T) {
	kit.Whole(t)
	found, err := filepath.Glob("../cli/testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, path := range found {
		if name := strings.TrimSuffix(filepath.Base(path), ".txtar"); notEmulated[name] == "" {
			names = append(names, name)
		}
	}
	test := filepath.Join(t.TempDir(), "cli.test")
	run(t, build.Command("go", "test", "-c", "-o", test, "./tests/cli"))
	each(t, func(t *testing.T, a arch, qemu string) {
		cmd := command(a, test, "-test.v", "-test.run", "^TestCommandLine$/^("+strings.Join(names, "|")+")$")
		cmd.Dir = "../cli"
		cmd.Env = append(cmd.Env, "OPENRC_NETNS_TEST_EMULATOR="+qemu)
		out, err := cmd.CombinedOutput()
		if n := strings.Count(string(out), "--- PASS: TestCommandLine/"); n != len(names) || err != nil {
			t.Errorf("%d of %d pass: %v\n%s", n, len(names), err, out)
		}
	})
}

// TestBuild builds what a package for each architecture has in it.
func TestBuild(t *testing.T) {
	kit.Whole(t)
	each(t, func(t *testing.T, a arch, qemu string) {
		dir := t.TempDir()
		run(t, command(a, "make", "build", "BIN="+dir))
		for _, name := range []string{"netns-exec", "netns-publish", "openrc-netns-hook", "rc-netns"} {
			out, err := exec.CommandContext(t.Context(), qemu, filepath.Join(dir, name), "--version").CombinedOutput()
			if err != nil || !strings.HasPrefix(string(out), name+" ") {
				t.Errorf("%s --version: %v\n%s", name, err, out)
			}
		}
	})
}
