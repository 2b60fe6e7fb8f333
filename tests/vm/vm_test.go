package vm_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"openrc-netns/tests/kit"
	"openrc-netns/tests/vm"
)

func TestMain(m *testing.M) {
	vm.Init()
	if os.Getenv("HOLD_A_VM") != "" {
		hold()
	}
	os.Exit(m.Run())
}

// hold is what TestKilledProgramLeavesNothing kills.
func hold() {
	if _, err := vm.Start(vm.Options{}); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("running")
	select {}
}

func TestRunReportsWhatBecameOfTheScript(t *testing.T) {
	kit.Whole(t)
	v := kit.StartVM(t, vm.Options{Timeout: 30 * time.Second, Log: io.Discard})
	const mega = 4 << 20
	for _, test := range []struct {
		script string
		want   vm.Result
	}{
		{"echo out; echo err >&2; exit 7", vm.Result{Stdout: "out\n", Stderr: "err\n", Code: 7}},
		{"kill -TERM $$", vm.Result{Code: 143}},
		{"echo before; sleep 1000", vm.Result{Stdout: "before\n", Code: 124}},
		{"setsid sleep 1000 & echo left", vm.Result{Stdout: "left\n"}},
		{`printf '\0\1\003\004\021\023\r\n\177\200\377'`, vm.Result{Stdout: "\x00\x01\x03\x04\x11\x13\r\n\x7f\x80\xff"}},
		{fmt.Sprintf("head -c %d /dev/zero", mega), vm.Result{Stdout: strings.Repeat("\x00", mega)}},
	} {
		got := v.Run(test.script)
		if got.Stdout != test.want.Stdout || got.Stderr != test.want.Stderr || got.Code != test.want.Code {
			t.Errorf("%s: status %d, %.99q and %.99q", test.script, got.Code, got.Stdout, got.Stderr)
		}
	}
}

func TestRunIsOrdinary(t *testing.T) {
	kit.Whole(t)
	v := kit.StartVM(t, vm.Options{})
	for script, want := range map[string]string{
		"env | cut -d= -f1 | sort | xargs":           "HOME PATH PWD TERM",
		"pwd; umask; ulimit -Sn; hostname":           "/\n0022\n1024\nopenrc",
		"grep -e SigBlk -e SigIgn /proc/self/status": "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000",
		"ls /proc/self/fd | xargs":                   "0 1 2 3", // 3 is the folder that ls reads
		"readlink /proc/self/fd/0":                   "/dev/null",
		"cat /proc/self/cgroup":                      "0::/",
		"ip -br link | wc -l; ip -br addr | xargs":   "1\nlo UNKNOWN 127.0.0.1/8 ::1/128",
		"ls -A /mnt; grep -c . /proc/self/mounts":    "9",
	} {
		if got := v.Run(script); strings.TrimSpace(got.Output) != want {
			t.Errorf("%s:\n%q, not\n%q", script, got.Output, want)
		}
	}
}

func TestRunsAtTheSameTime(t *testing.T) {
	kit.Whole(t)
	v := kit.StartVM(t, vm.Options{Timeout: time.Minute})
	kit.Sh(t, v, "mkfifo /run/meet")
	reader := make(chan vm.Result)
	go func() { reader <- v.Run("cat /run/meet") }()
	kit.Sh(t, v, "echo hello >/run/meet")
	if got := <-reader; got.Stdout != "hello\n" {
		t.Errorf("%+v", got)
	}
}

func TestFiles(t *testing.T) {
	kit.Whole(t)
	v := kit.StartVM(t, vm.Options{})
	const name, content = "/srv/new/file", "\x00content\xff"
	if err := v.WriteFile(name, os.ModeSetuid|0o751, content); err != nil {
		t.Fatal(err)
	}
	if got := kit.Sh(t, v, "stat -c '%a %U' "+name); got != "4751 root" {
		t.Errorf("file has %q", got)
	}
	if got, err := v.ReadFile(name); got != content || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
	if _, err := v.ReadFile("/nowhere"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("read what is not there: %v", err)
	}
}

// vrfs makes two VRFs with the same addresses in both, and a peer with the same
// address for each.
const vrfs = `
for vrf in red blue; do
	ip link add $vrf type vrf table $((n += 10))
	ip link set $vrf up
	ip netns add peer-$vrf
	ip link add to-$vrf type veth peer name eth0 netns peer-$vrf
	ip link set to-$vrf master $vrf up
	ip addr add 192.0.2.1/24 dev to-$vrf
	ip addr add 2001:db8::1/64 dev to-$vrf nodad
	ip -n peer-$vrf addr add 192.0.2.2/24 dev eth0
	ip -n peer-$vrf addr add 2001:db8::2/64 dev eth0 nodad
	ip -n peer-$vrf link set eth0 up
done
`

func TestVRF(t *testing.T) {
	kit.Whole(t)
	v := kit.StartVM(t, vm.Options{Timeout: time.Minute})
	kit.Sh(t, v, "set -e"+vrfs)
	ports := map[string]string{"0.0.0.0": "4004", "::": "4006"}
	peer := map[string]string{"0.0.0.0": "192.0.2.1", "::": "2001:db8::1"}
	for _, vrf := range []string{"red", "blue"} {
		if got := kit.Sh(t, v, "ip vrf exec "+vrf+" ip vrf identify"); got != vrf {
			t.Errorf("in %s, ip vrf identify says %q", vrf, got)
		}
		for address, port := range ports {
			kit.Sh(t, v, fmt.Sprintf("while echo %s | ip vrf exec %[1]s nc -l -N %s %s; do :; done >/dev/null 2>&1 &",
				vrf, address, port))
		}
	}
	for _, vrf := range []string{"red", "blue"} {
		for address, port := range ports {
			listens := fmt.Sprintf("ss -Htln 'sport = %s' | grep %%%s", port, vrf)
			kit.Sh(t, v, fmt.Sprintf("until %s; do sleep .1; done", listens))
			got := kit.Sh(t, v, fmt.Sprintf("ip netns exec peer-%s nc -w60 %s %s </dev/null", vrf, peer[address], port))
			if got != vrf {
				t.Errorf("%s from the peer of %s answers %q", peer[address], vrf, got)
			}
		}
	}
}

const daemon = `#!/sbin/openrc-run
command=/bin/sleep
command_args=1000
command_background=yes
pidfile=/run/daemon.pid
`

func TestInstalledServiceIsBooted(t *testing.T) {
	kit.Whole(t)
	tree := t.TempDir()
	for _, dir := range []string{"etc/init.d", "etc/runlevels/default"} {
		if err := os.MkdirAll(filepath.Join(tree, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(tree, "etc/init.d/daemon"), []byte(daemon), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/init.d/daemon", filepath.Join(tree, "etc/runlevels/default/daemon")); err != nil {
		t.Fatal(err)
	}
	v := kit.StartVM(t, vm.Options{Boot: true, Install: tree})
	for _, test := range [][2]string{
		{"cat /proc/1/comm", "openrc-init"},
		{"rc-status -r", "default"},
		{"rc-status -s | sed -n 's/ *\\[ *started *\\]//p' | sort | xargs", "cgroups daemon"},
		{"cat /proc/$(cat /run/daemon.pid)/cgroup", "0::/openrc.daemon"},
		{"stat -c %a /etc /etc/init.d", "755\n755"},
		{"rc-service -q daemon stop; rc-service daemon status", "* status: stopped"},
	} {
		if got := v.Run(test[0]); strings.TrimSpace(got.Output) != test[1] {
			t.Errorf("%s:\n%q, not\n%q", test[0], got.Output, test[1])
		}
	}
}

func TestCgroupModes(t *testing.T) {
	kit.Whole(t)
	for mode, want := range map[string]string{
		"unified": "/sys/fs/cgroup cgroup2",
		"hybrid":  "/sys/fs/cgroup tmpfs,/sys/fs/cgroup/openrc cgroup,/sys/fs/cgroup/unified cgroup2",
		"none":    "",
	} {
		for _, boot := range []bool{false, true} {
			v := kit.StartVM(t, vm.Options{Cgroup: mode, Boot: boot})
			const mounts = `findmnt -rn -o TARGET,FSTYPE | grep -e '/cgroup ' -e /openrc -e cgroup2 | sort | paste -sd,`
			if got := kit.Sh(t, v, mounts); got != want {
				t.Errorf("%s, boot %v: %s, not %s", mode, boot, got, want)
			}
		}
	}
}

func TestErrorsTellWhy(t *testing.T) {
	kit.Whole(t)
	kit.Require(t)
	_, err := vm.Start(vm.Options{Cgroup: "legacy"})
	if err == nil || !strings.Contains(err.Error(), "unified, hybrid or none") {
		t.Errorf("unknown cgroup mode: %v", err)
	}
	_, err = vm.Start(vm.Options{Install: "/nowhere/at all"})
	if err == nil || !strings.Contains(err.Error(), "/nowhere/at all: no such file") {
		t.Errorf("nothing to install: %v", err)
	}
	v, err := vm.Start(vm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	result := v.Run("echo farewell >/dev/console; echo c >/proc/sysrq-trigger; sleep 10")
	if result.Code != 125 || !strings.Contains(result.Stderr, "farewell") || !strings.Contains(result.Stderr, "panic") {
		t.Errorf("after a panic: %+v", result)
	}
	if err := v.Close(); err == nil {
		t.Error("closing what has ended by itself is no error")
	}
	if err := v.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
}

func TestCachedRootIsOnlyRead(t *testing.T) {
	kit.Whole(t)
	kit.Require(t)
	root, err := vm.Root(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	before := listing(t, root)
	v := kit.StartVM(t, vm.Options{})
	kit.Sh(t, v, `
		rm -r /etc/init.d /usr/share/doc; echo changed >/etc/passwd; touch /new /mnt/new; chmod 700 /usr/bin/env
		set +e
		for source in /mnt/view /; do
			busybox mount -t hostfs -o $source none /media
			touch /media/new && exit 1
			echo changed >>/media/etc/passwd && exit 1
			umount /media || exit
		done`)
	if err := v.Close(); err != nil {
		t.Error(err)
	}
	if after := listing(t, root); after != before {
		t.Errorf("%s has changed", root)
	}
}

// listing has what changes when a file or folder below dir does.
func listing(t *testing.T, dir string) string {
	t.Helper()
	out, err := exec.Command("find", dir, "-printf", `%P %i %m %U %G %s %T@ %C@ %l\n`).Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestCloseLeavesTheHostAsItWas(t *testing.T) {
	kit.Require(t)
	before := host(t)
	v, err := vm.Start(vm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	traces := tracesOf(t, os.Getpid())
	if len(traces()) == 0 {
		t.Error("a running virtual machine leaves no traces")
	}
	if err := v.Close(); err != nil {
		t.Error(err)
	}
	wantAsBefore(t, traces, before)
}

func TestKilledProgramLeavesNothing(t *testing.T) {
	kit.Whole(t)
	kit.Require(t)
	if _, err := vm.Root(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := host(t)
	program := exec.Command("/proc/self/exe")
	program.Env = append(os.Environ(), "HOLD_A_VM=1")
	stdout, err := program.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	if line, _ := bufio.NewReader(stdout).ReadString('\n'); line != "running\n" {
		t.Fatalf("no virtual machine: %s", line)
	}
	traces := tracesOf(t, program.Process.Pid)
	program.Process.Kill()
	program.Wait()
	wantAsBefore(t, traces, before)
}

// wantAsBefore waits a moment for the traces to vanish.
func wantAsBefore(t *testing.T, traces func() []string, before string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); len(traces()) > 0 && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
	if left := traces(); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
	if after := host(t); after != before {
		t.Errorf("the host was\n%s and is\n%s", before, after)
	}
}

// host is what no virtual machine may change.
func host(t *testing.T) string {
	t.Helper()
	const all = "cat /proc/self/mountinfo; hostname; ip -o link; ls -A /dev/shm ~/.uml 2>&1; true"
	out, err := exec.Command("sh", "-c", all).Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// tracesOf takes note of the processes of the program's virtual machine, and
// returns a function that lists those that still are. What it has mounted, and
// its sockets, live as long as they do.
func tracesOf(t *testing.T, program int) func() []string {
	t.Helper()
	children, err := exec.Command("pgrep", "-P", strconv.Itoa(program), "-f", "^vm-host").Output()
	if err != nil {
		t.Fatalf("no vm-host: %v", err)
	}
	namespace, err := os.Readlink(filepath.Join("/proc", strings.TrimSpace(string(children)), "ns/pid_for_children"))
	if err != nil {
		t.Fatal(err)
	}
	// A pidfd, unlike a number, is never another process's.
	processes := make(map[string]int)
	links, err := filepath.Glob("/proc/[0-9]*/ns/pid")
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		if name, _ := os.Readlink(link); name == namespace {
			pid, _ := strconv.Atoi(strings.Split(link, "/")[2])
			if fd, err := unix.PidfdOpen(pid, 0); err == nil {
				t.Cleanup(func() { unix.Close(fd) })
				processes[link] = fd
			}
		}
	}
	return func() (left []string) {
		for link, fd := range processes {
			if unix.PidfdSendSignal(fd, 0, nil, 0) == nil {
				left = append(left, link)
			}
		}
		return left
	}
}

func BenchmarkRun(b *testing.B) {
	v := kit.StartVM(b, vm.Options{})
	for i := 0; b.Loop(); i++ {
		if got := v.Run("echo " + strconv.Itoa(i)); got.Stdout != strconv.Itoa(i)+"\n" {
			b.Fatal(got)
		}
	}
}

func BenchmarkStart(b *testing.B) {
	kit.Require(b)
	for _, boot := range []bool{false, true} {
		b.Run(fmt.Sprintf("boot=%v", boot), func(b *testing.B) {
			for b.Loop() {
				v, err := vm.Start(vm.Options{Boot: boot})
				if err != nil {
					b.Fatal(err)
				}
				v.Close()
			}
		})
	}
}
