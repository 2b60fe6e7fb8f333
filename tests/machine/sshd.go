package machine

import (
	_ "embed"
	"errors"
	"fmt"
)

//go:embed sshd.initd
var sshdScript string

// SSHD makes sshd a service of the machine, /etc/init.d/sshd, which is neither
// started nor in a runlevel, with a host key. Root's own key is authorised, so
// this works from any network namespace of the machine that reaches the daemon:
//
//	ssh -o BatchMode=yes -o StrictHostKeyChecking=no root@ADDRESS COMMAND
func (m *Machine) SSHD() error {
	err := errors.Join(
		m.WriteFile("/etc/init.d/sshd", 0o755, sshdScript),
		m.WriteFile("/etc/ssh/sshd_config.d/machine.conf", 0o644, "UsePAM no\nPasswordAuthentication no\n"),
		// Debian's own LSB script goes, for it provides "sshd" as well.
		m.script(`
		rm -f /etc/init.d/ssh
		mkdir -p -m 700 /root/.ssh
		ssh-keygen -q -t ed25519 -N '' -C host -f /etc/ssh/ssh_host_ed25519_key
		ssh-keygen -q -t ed25519 -N '' -C client -f /root/.ssh/id_ed25519
		cp /root/.ssh/id_ed25519.pub /root/.ssh/authorized_keys`))
	if err != nil {
		return fmt.Errorf("set up sshd: %w", err)
	}
	return nil
}
