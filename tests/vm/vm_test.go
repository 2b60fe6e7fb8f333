package vm_test

import (
	"os"
	"testing"
	"time"

	"openrc-netns/tests/vm"
	"openrc-netns/tests/vm/vmtest"
)

func TestMain(m *testing.M) {
	vm.Init()
	os.Exit(m.Run())
}

func TestLab(t *testing.T) {
	begin := time.Now()
	v := vmtest.Start(t, vm.Options{Timeout: 9*time.Second, Boot: os.Getenv("BOOT") != ""})
	t.Logf("start %v", time.Since(begin))
	t.Log(v.Run("uname -a; cat /proc/mounts; ls -la /mnt; ps -ef; mount; env; ls -la /proc/self/fd").Output)
	for range 5 {
		begin = time.Now()
		r := v.Run("true")
		t.Logf("run %v %d", time.Since(begin), r.Code)
	}
	begin = time.Now()
	r := v.Run("head -c 20000000 /dev/zero")
	t.Logf("20 MB %v %d", time.Since(begin), r.Code)
	begin = time.Now()
	err := v.WriteFile("/root/x", 0644, r.Stdout)
	t.Logf("write 20 MB %v %v", time.Since(begin), err)
	t.Log(v.Run(os.Getenv("SCRIPT")).Output)
}
