package openrc

import (
	"fmt"
	"strings"
	"testing"

	"openrc-netns/tests/kit"
)

// However many services have settings, OpenRC is asked once in an update of the
// dependencies whether it takes the way past the drop-in; and in the next one
// anew.
func flatUpdate(t *testing.T, h *host) {
	for i := range 5 {
		h.Sh(fmt.Sprintf("ln -s plain /etc/init.d/plain.%d; echo netns=vpn >/etc/conf.d/plain.%d", i, i))
	}
	asked := func() string {
		return strings.TrimSpace(h.Sh(`strace -f -qq -o /run/trace.update -e trace=execve rc-update -u >/dev/null 2>&1; grep -c '/openrc-run.sh", .*/openrc-run.sh"' /run/trace.update || :`))
	}
	kit.Equal(t, "asked in an update", asked(), "1")
	kit.Equal(t, "asked in the next", asked(), "1")
	// The answer to another run is none: not the ID of the process alone.
	h.doctor("sed -i 's/sourcex/load/g' openrc-run.sh")
	h.Sh("rc-update -u 2>/dev/null || :")
	kit.Equal(t, "services that cannot start", h.Sh("grep -c ineed_.*unsupported /run/openrc/deptree || cat /run/openrc/deptree"), "5")
	h.cure()
	h.Sh("rc-update -u; ! grep unsupported /run/openrc/deptree")
}
