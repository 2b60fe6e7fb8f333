package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"openrc-netns/tests/internal/apart"
)

// TestLaunchesTogether starts good and bad launches of one kind side by side.
// They share a cgroup, which a bad one removes when it is empty: no good one
// may fail for that, or run in a cgroup that has no program.
func TestLaunchesTogether(t *testing.T) {
	withVPN(t)
	var cgroup atomic.Value // of the good ones, which stays when they end
	t.Cleanup(func() {
		if path, _ := cgroup.Load().(string); path != "" {
			if err := os.Remove("/sys/fs/cgroup" + path); err != nil && !os.IsNotExist(err) { // a bad one took it along
				t.Error(err)
			}
		}
	})
	bad := filepath.Join(t.TempDir(), "bad")
	if err := os.WriteFile(bad, []byte("#!/nonexistent\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	good := []string{"--lock", "vpn", "--", "perl", "-MSocket", "-e", `
		socket(my $s, PF_INET, SOCK_DGRAM, 0) or die "no socket: $!\n";
		open my $cgroup, "<", "/proc/self/cgroup"; local $/; print <$cgroup> =~ m{^0::(.*/netns-exec\.\d+\.0\.lock)$}m`}
	netnsExec := filepath.Join(apart.Bin, "netns-exec")
	stop := make(chan struct{})
	var others, goods sync.WaitGroup
	for range 3 {
		others.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if exec.Command(netnsExec, "--lock", "vpn", "--", bad).Run() == nil {
					t.Error("the bad launch succeeded")
				}
			}
		})
	}
	for range 2 {
		goods.Go(func() {
			for range 150 {
				out, err := exec.Command(netnsExec, good...).CombinedOutput()
				if err != nil || !strings.HasPrefix(string(out), "/") {
					t.Errorf("%v: %q", err, out)
					continue
				}
				cgroup.Store(string(out))
			}
		})
	}
	goods.Wait()
	close(stop)
	others.Wait()
}
