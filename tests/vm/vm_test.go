package vm_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"openrc-netns/tests/kit"
	"openrc-netns/tests/vm"
)

func TestMain(m *testing.M) {
	vm.Init()
	os.Exit(m.Run())
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
	root, err := vm.Root()
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
