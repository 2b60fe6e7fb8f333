package vm_test

import (
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"openrc-netns/tests/vm"
	"openrc-netns/tests/vm/vmtest"
)

func TestLabSerial(t *testing.T) {
	v := vmtest.Start(t, vm.Options{Timeout: 20 * time.Second, Log: os.Stderr})
	var times []time.Duration
	for i := range 2000 {
		begin := time.Now()
		r := v.Run(fmt.Sprintf("echo %d; exit %d", i, i%100))
		times = append(times, time.Since(begin))
		if r.Stdout != fmt.Sprintln(i) || r.Code != i%100 {
			t.Fatal(i, r)
		}
	}
	slices.Sort(times)
	t.Log(times[0], times[len(times)/2], times[len(times)-1])
	begin := time.Now()
	var w sync.WaitGroup
	for g := range 8 {
		w.Go(func() {
			for i := range 200 {
				r := v.Run(fmt.Sprintf("echo %d-%d; exit %d", g, i, i%100))
				if r.Stdout != fmt.Sprintf("%d-%d\n", g, i) || r.Code != i%100 {
					t.Error(i, r)
					return
				}
			}
		})
	}
	w.Wait()
	t.Log(time.Since(begin))
}

func TestLabScript(t *testing.T) {
	s, _ := os.ReadFile("/tmp/lab.sh")
	v := vmtest.Start(t, vm.Options{Timeout: 60 * time.Second, Log: os.Stderr, Boot: os.Getenv("BOOT") != "", Install: os.Getenv("INSTALL")})
	r := v.Run("exec 2>&1; " + string(s))
	fmt.Println(r.Output, r.Code)
}
