package vm_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"openrc-netns/tests/kit"
	"openrc-netns/tests/vm"
)

func TestMain(m *testing.M) {
	vm.Init()
	os.Exit(m.Run())
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
