package bench

import (
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"openrc-netns/tests/kit"
	"openrc-netns/tests/vm"
)

const launchOptions = "--warmup=2 --runs=25"

// With one network namespace, and with 1000.
func BenchmarkLaunch(b *testing.B) {
	b.Setenv("PATH", installed+"/usr/sbin:"+os.Getenv("PATH"))
	fmt.Print(here(b, "ip -V; uname -sr"))
	for _, namespaces := range []int{1, 1000} {
		here(b, fmt.Sprintf("for i in $(seq 2 %d); do ip netns add bench$i; done", namespaces))
		compare(b, fmt.Sprint("namespaces=", namespaces), "ms", 40,
			timed("netns-exec", here, launchOptions, "netns-exec bench /bin/true"),
			timed("ip-netns-exec", here, launchOptions, "ip netns exec bench /bin/true"))
	}
}

// With a VRF, on a kernel that has them.
func BenchmarkVRF(b *testing.B) {
	guest := kit.StartVM(b, vm.Options{Install: installed, Timeout: 5 * time.Minute, Log: io.Discard})
	inside := func(b testing.TB, script string) string { return kit.Sh(b, guest, script) }
	fmt.Println(inside(b, "ip netns add bench; ip -n bench link add red type vrf table 10; ip -V; uname -sr"))
	compare(b, "launch", "ms", 8,
		timed("netns-exec", inside, launchOptions, "netns-exec --vrf red bench /bin/true"),
		timed("ip-vrf-exec", inside, launchOptions, "ip netns exec bench ip vrf exec red /bin/true"))
}
