package kernel

import (
	"path/filepath"
	"strings"
	"testing"

	"openrc-netns/tests/internal/build"
	"openrc-netns/tests/kit"
)

// Sockets of rarer protocols are seen; and a kernel that is asked for them looks
// for a module, with what it takes for modprobe(8), only where the protocol
// itself is loaded and nothing lists its sockets.
func TestListeners(t *testing.T) {
	kit.Whole(t)
	t.Parallel()
	audit := filepath.Join(t.TempDir(), "audit.test")
	if err := build.Run("go", "test", "-c", "-o", audit, "./internal/audit"); err != nil {
		t.Fatal(err)
	}
	listing := []string{"libcrc32c", "udp_tunnel", "ip6_udp_tunnel", "inet_diag", "tcp_diag", "udp_diag", "raw_diag"}
	said := image{
		modules: append(listing, "sctp", "sctp_diag", "dccp", "dccp_ipv4", "dccp_ipv6", "dccp_diag"),
		files:   map[string]string{"audit.test": kit.Read(t, audit)},
	}.boot(t, `
mkdir -p /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup; chmod 755 /audit.test
run() { /audit.test -test.v -test.run "$1"; }
printf '#!/bin/sh\nprintf "%%s\\n" "$*" >>/run/asked\n' >/sbin/wanted; chmod 755 /sbin/wanted
echo /sbin/wanted >/proc/sys/kernel/modprobe
: >/run/asked
load `+strings.Join(listing, " ")+`
section unused
run TestListening/TCP/2; cat /run/asked
section unlisted
load sctp; run TestListening/TCP/2; cat /run/asked
section all
load sctp_diag dccp dccp_ipv4 dccp_ipv6 dccp_diag
run 'TestListening|TestDumpSeesSubflows'
`)
	for _, protocol := range []string{"TCP", "UDP", "raw", "UDP-Lite", "SCTP", "DCCP"} {
		for _, family := range []string{"2", "10"} {
			kit.Contains(t, said["all"], "--- PASS: TestListening/"+protocol+"/"+family)
		}
	}
	kit.Contains(t, said["all"], "--- PASS: TestDumpSeesSubflows")
	for section, wanted := range map[string]string{"unused": "", "unlisted": "\n-q -- net-pf-16-proto-4-type-2-132"} {
		kit.Contains(t, said[section], "--- PASS: TestListening/TCP/2")
		if !strings.HasSuffix(said[section], "\nPASS"+wanted) {
			t.Errorf("%s: not all that the kernel wants is %q:\n%s", section, wanted, said[section])
		}
	}
}
