package provision

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"openrc-netns/internal/namespace"
)

// A file may come from anywhere, and is as large as it may be: ten times as
// much in it takes ten times as long, a little more for what is sorted, and not
// a hundred times as long.
func TestFilesCostWhatSortingCosts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "wg0.conf")
	words := func(n int, format string) string {
		var text strings.Builder
		for i := range n {
			fmt.Fprintf(&text, format, i>>16, i>>8&255, i&255)
		}
		return text.String()
	}
	const head, peer = "[Interface]\nPrivateKey = " + key + "\n", "[Peer]\nPublicKey = "
	other := strings.Replace(key, "y", "z", 1)
	for name, text := range map[string]func(n int) string{
		"lines that are none":       func(n int) string { return words(n, "%d %d %d\n") },
		"bad addresses on one line": func(n int) string { return head + "Address = " + words(n/2, "10.%d.%d.%d/x,") },
		"peers with the same networks": func(n int) string {
			networks := "\nAllowedIPs = " + words(n/2, "10.%d.%d.%d,")
			return head + peer + key + networks + "\n" + peer + other + networks
		},
		"networks of many lengths": func(n int) string {
			return head + "Address = " + words(n/35, "10.%d.%d.%d/30,") + "\n" + peer + key + "\nAllowedIPs = " + words(n/2, "11.%d.%d.%d,")
		},
		"name servers":        func(n int) string { return head + "DNS = " + words(n/2, "10.%d.%d.%d,") },
		"domains":             func(n int) string { return head + "DNS = " + words(n/2, "x%d.x%d.x%d,") },
		"peers":               func(n int) string { return head + strings.Repeat(peer+key+"\n", n/5) },
		"peers without a key": func(n int) string { return head + strings.Repeat("[Peer]\n", n/10) },
	} {
		cost(t, name, 2000, func(n int) {
			if err := os.WriteFile(path, []byte(text(n)), 0o600); err != nil {
				t.Fatal(err)
			}
		}, func(n int) {
			_, warnings, mistakes := Settings{WireGuard: path, Routes: map[string]string{"wg0": "192.0.2.0/24 via 10.0.0.1 src 10.0.0.0"}}.Spec("vpn")
			if len(warnings) > 22 || len(mistakes) > 21 {
				t.Errorf("%s: %d warnings, %d mistakes", name, len(warnings), len(mistakes))
			}
		})
	}
}

// A start that was cut short has made some of the routes.
func TestRoutesAgainCostWhatTheyCost(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can make a network namespace")
	}
	err := namespace.Fresh().Do(func() error {
		ns, err := namespace.Current()
		if err != nil {
			return err
		}
		defer ns.Close()
		if err := setAddresses(ns, "lo", nil, 0, true); err != nil {
			return err
		}
		var routes []Route
		cost(t, "routes", 300, func(n int) {
			var text strings.Builder
			for i := range n {
				fmt.Fprintf(&text, "10.%d.%d.0/24\n", i>>8, i&255)
			}
			if routes, err = ParseRoutes("lo", "lo", text.String()); err != nil {
				t.Fatal(err)
			}
			if err := addRoutes(ns, "lo", routes); err != nil {
				t.Fatal(err)
			}
		}, func(int) {
			if err := addRoutes(ns, "lo", routes); err != nil {
				t.Fatal(err)
			}
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// cost asserts that do for ten times n takes less than 40 times the processor
// that it takes for n; what squares takes a hundred times as much. What disturbs
// one run does not disturb all, and of less than a moment nothing can be said.
func cost(t *testing.T, what string, n int, prepare, do func(n int)) {
	t.Helper()
	const moment, runs, most = time.Millisecond, 5, 40
	var took [2]time.Duration
	for range runs {
		for i, n := range []int{n, 10 * n} {
			prepare(n)
			runtime.GC()
			before := processor(t)
			do(n)
			used := max(processor(t)-before, moment)
			if took[i] == 0 || used < took[i] {
				took[i] = used
			}
		}
	}
	if took[1] > most*took[0] {
		t.Errorf("%s: %v for %d, but %v for ten times as many", what, took[0], n, took[1])
	}
}

// processor is what this process has used.
func processor(t *testing.T) time.Duration {
	t.Helper()
	var used unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &used); err != nil {
		t.Fatal(err)
	}
	return time.Duration(used.Nano())
}
