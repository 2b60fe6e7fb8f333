package launch

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Every start of a service waits for the initialization of each package that
// the two programs on its way link: another one has to be worth that. See what
// it takes with GODEBUG=inittrace=1.
func TestPackagesOnTheLaunchPath(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "../../cmd/netns-exec", "../../cmd/openrc-netns-hook").Output()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for _, name := range strings.Fields(string(out)) {
		if !strings.HasPrefix(name, "internal/") && !strings.Contains(name, "openrc-netns/") &&
			!strings.HasPrefix(name, "runtime/internal/") && !strings.HasPrefix(name, "vendor/") {
			got[name] = true
		}
	}
	want := map[string]bool{}
	for _, name := range strings.Fields(`
		bufio bytes cmp embed encoding/binary errors fmt io io/fs iter math math/bits os path path/filepath
		reflect runtime runtime/debug slices sort strconv strings sync sync/atomic syscall time
		unicode unicode/utf8 unsafe
		github.com/moby/sys/mountinfo github.com/moby/sys/user github.com/vishvananda/netns golang.org/x/sys/unix`) {
		want[name] = true
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("packages (-want +got):\n%s", diff)
	}
}
