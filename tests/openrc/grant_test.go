package openrc

import (
	"regexp"
	"strings"
	"testing"

	"openrc-netns/tests/kit"
)

// What rc-netns grant prints, word for word, with sudo and doas as they are: the
// user gets in, as nobody else and nowhere else.
func TestGrant(t *testing.T) {
	t.Parallel()
	h := boot(t, "dash", true)
	h.Sh(`groupadd audit; useradd -m -u 4242 -G audit -s /bin/sh alice; useradd -u 4243 bob; ip netns add lan
		hostname localhost`)
	said := h.Sh("rc-netns grant alice vpn")
	part := func(from, to string) string {
		t.Helper()
		_, rest, found := strings.Cut(said, from)
		text, _, ended := strings.Cut(rest, to)
		if !found || !ended {
			t.Fatalf("no text from %q to %q in:\n%s", from, to, said)
		}
		return text
	}
	h.Write("/etc/sudoers.d/netns", part(`alice":`+"\n", "# after"))
	h.Sh("chmod 440 /etc/sudoers.d/netns; visudo -cq")
	h.Write("/usr/local/bin/netns-exec-vpn", part("netns-exec-vpn:\n", "# and"))
	h.Write("/etc/doas.conf", part("doas.conf:\n", "# after"))
	h.Sh("chmod 400 /etc/doas.conf; doas -C /etc/doas.conf")

	as := func(user, command string) (string, int) {
		r := h.Run("cd /; exec setpriv --reuid " + user + " --regid " + user + " --init-groups env DOAS_USER=bob SUDO_USER=bob SUDO_UID=4243 LD_PRELOAD=/nowhere.so " + command)
		return strings.TrimSpace(regexp.MustCompile(`(?m)^ERROR: ld.so: .*\n`).ReplaceAllString(r.Output, "")), r.Code
	}
	inside := h.inside()
	const show = `sh -c 'id -u; id -Gn; readlink /proc/self/ns/net; grep CapPrm /proc/self/status | cut -f2'`
	for _, command := range []string{
		"sudo netns-exec --caller vpn -- " + show,
		"doas /usr/local/bin/netns-exec-vpn " + show,
	} {
		got, _ := as("alice", command)
		kit.Equal(t, command, got, "4242\nalice audit\n"+inside+"\n0000000000000000")
	}
	// Arguments of the command are the command's.
	got, _ := as("alice", "sudo netns-exec --caller vpn -- echo -u root --user root --vrf x")
	kit.Equal(t, "arguments", got, "-u root --user root --vrf x")

	for _, command := range []string{
		"sudo netns-exec --caller lan -- id",
		"sudo netns-exec --caller /proc/1/ns/net -- id",
		"sudo netns-exec vpn id",
		"sudo netns-exec -u root vpn id",
		"sudo netns-exec --caller -u root vpn -- id",
		"sudo netns-exec --caller vpn -u root -- id",
		"sudo netns-exec '--caller vpn -- ' vpn id",
		"sudo netns-exec '--caller vpn' -- id",
		"sudo netns-exec --caller 'vpn -- x' -u root id",
		"sudo netns-exec --caller vpn '-- id'",
		"sudo SUDO_USER=root netns-exec --caller vpn -- id",
		"sudo DOAS_USER=bob netns-exec --caller vpn -- id",
		"sudo -E netns-exec --caller lan -- id",
		"sudo -u bob netns-exec --caller vpn -- id",
		"sudo id",
		"doas netns-exec --caller vpn -- id",
		"doas netns-exec vpn id",
		"doas -u bob /usr/local/bin/netns-exec-vpn id",
		"doas id",
	} {
		if got, code := as("alice", command); code == 0 || strings.Contains(got, "uid=") {
			t.Errorf("%s: status %d\n%s", command, code, got)
		}
	}
	for _, command := range []string{"sudo netns-exec --caller vpn -- id", "doas /usr/local/bin/netns-exec-vpn id"} {
		if got, code := as("bob", command); code == 0 || strings.Contains(got, "uid=") {
			t.Errorf("bob: %s: status %d\n%s", command, code, got)
		}
	}
}
