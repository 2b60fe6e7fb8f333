package openrc

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"openrc-netns/tests/internal/build"
	"openrc-netns/tests/kit"
)

// What make install says of the machine's OpenRC.
func TestInstallSaysWhetherOpenRCIsSupported(t *testing.T) {
	t.Parallel()
	script := kit.Read(t, "../../openrc/supported")
	versions := map[string]string{"bookworm": "0.45.2", "trixie": "0.56", "": "0.64.1"}
	for name, options := range openRCs {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, version := bootRelease(t, options, true), versions[options.Release]
			h.Write("/usr/local/sbin/supported", script)
			// Whoever asks, from wherever, it is one line and no failure.
			ask := func(want string) {
				t.Helper()
				for _, how := range []string{"sh /usr/local/sbin/supported /etc", "env -i PATH=/usr/bin:/bin sh /usr/local/sbin/supported /etc",
					"setpriv --reuid 65534 --clear-groups sh /usr/local/sbin/supported"} {
					kit.Equal(t, how, h.Run(how+" 2>&1; echo $?").Output, want+"\n0\n")
				}
			}
			h.Sh("rm -rf /run/openrc; touch /run/elsewhere") // a machine that OpenRC has not booted
			// Nothing of a script runs, and nothing of it is left.
			h.Sh("echo 'touch /run/ran' >>/etc/init.d/netns")
			state := h.Sh("find /run /etc /tmp | sort")
			ask("OpenRC " + version + " works with openrc-netns")
			kit.Equal(t, "files", h.Sh("find /run /etc /tmp | sort"), state)

			// An OpenRC that is run in a namespace is named too.
			h.Sh("echo 'vpn:3:wait:/sbin/ip netns exec vpn /sbin/openrc vpn' >/etc/inittab")
			ask("OpenRC " + version + " works with openrc-netns\n" +
				"/etc/inittab runs OpenRC in a network namespace, and its services without netns would go to the host's network: see netns_inherit in openrc-netns(7)")
			h.Sh("echo netns_inherit=yes >>/etc/rc.conf")
			ask("OpenRC " + version + " works with openrc-netns")
			h.Sh("rm /etc/inittab; sed -i /netns_inherit/d /etc/rc.conf")

			run := h.Sh("ls -d /lib/rc/sh/openrc-run.sh /usr/lib/rc/sh/openrc-run.sh 2>/dev/null | head -n 1")
			h.Sh("sed -i.stock 's/sourcex/load/g' " + run)
			ask("OpenRC " + version + " starts services in a way that openrc-netns does not know: do not set netns or vrf")
			h.Sh("mv " + run + ".stock " + run)

			h.Sh("mkdir -p /opt/etc/init.d; cp /etc/init.d/netns /opt/etc/init.d; mv /etc/rc.conf.d/50-netns.conf /root")
			kit.Equal(t, "elsewhere", h.Sh("sh /usr/local/sbin/supported /opt/etc"),
				"OpenRC "+version+" does not read /opt/etc/rc.conf.d/50-netns.conf, and would start services outside: install with SYSCONFDIR=/etc")

			h.Sh("rm -f $(command -v -p openrc-run) /sbin/openrc-run /usr/sbin/openrc-run")
			ask("No OpenRC on this machine: not asked whether it works with openrc-netns")
		})
	}
}

// It is said of the machine that is installed on, and not when a package is
// made.
func TestInstallAsksThisMachineAlone(t *testing.T) {
	install := func(arguments ...string) string {
		t.Helper()
		out, err := build.Command("make", append([]string{"-s", "install"}, arguments...)...).Output()
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	dir := t.TempDir()
	kit.Equal(t, "a package", install("DESTDIR="+dir), "")
	out := install("DESTDIR=", "PREFIX="+dir+"/usr", "SYSCONFDIR="+dir+"/etc", "LSBDIR="+dir+"/lib/lsb", "HOOKS="+dir+"/hooks/openrc-netns")
	if strings.Count(out, "\n") != 1 || !strings.Contains(out, "OpenRC") {
		t.Errorf("this machine: %q, want one line on its OpenRC", out)
	}
	if _, err := os.Stat(filepath.Join(dir, "etc/init.d/netns")); err != nil {
		t.Error(err)
	}
}
