package packages

import (
	"archive/tar"
	"crypto/sha1"
	"encoding/hex"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"openrc-netns/tests/kit"
	"openrc-netns/tests/machine"
)

// host is a machine that has two services in the namespace vpn, sshd and guard.
// A guard's stop says where it acts, as a firewall's would act there.
type host struct {
	*machine.Machine
	kit.Host
	vpn string // the namespace, as the links of /proc/PID/ns show it
}

const guard = `#!/sbin/openrc-run
command=/usr/local/bin/guard
command_args=infinity
command_background=yes
pidfile=/run/guard.pid
stop_pre()
{
	readlink /proc/self/ns/net >/run/stopped-in
}
`

func boot(t *testing.T, shell string) *host {
	t.Helper()
	m := kit.StartMachine(t, machine.Options{Shell: shell})
	h := &host{m, kit.Host{Machine: m, T: t}, ""}
	if err := h.SSHD(); err != nil {
		t.Fatal(err)
	}
	h.Write("/etc/init.d/guard", guard)
	h.Conf("guard", "netns=vpn")
	h.Conf("sshd", "netns=vpn")
	h.Sh("cp $(command -v sleep) /usr/local/bin/guard; ip netns add vpn")
	h.vpn = h.Sh("stat -Lc 'net:[%i]' /run/netns/vpn")
	return h
}

// upload puts the packages of both versions where the machine can install them,
// and returns their files by version.
func (h *host) upload(suffix string) map[string]string {
	h.T.Helper()
	files := map[string]string{}
	for _, version := range []string{older, newer} {
		name := file(h.T, version, suffix)
		files[version] = "/root/" + path.Base(name)
		h.Write(files[version], kit.Read(h.T, name))
	}
	return files
}

func (h *host) start() {
	h.T.Helper()
	h.Sh("rc-service sshd start && rc-service guard start")
	h.running()
}

// running asserts that both daemons are inside, and returns their numbers.
func (h *host) running() string {
	h.T.Helper()
	pids := h.Sh("cat /run/sshd.pid /run/guard.pid")
	for pid := range strings.Lines(pids) {
		kit.Equal(h.T, "namespace of a daemon", h.Sh("readlink /proc/"+strings.TrimSpace(pid)+"/ns/net"), h.vpn)
	}
	return pids
}

// stop asserts that both services stop, and that this acts inside.
func (h *host) stop() {
	h.T.Helper()
	h.Sh("rm -f /run/stopped-in; rc-service guard stop && rc-service sshd stop")
	kit.Equal(h.T, "the stop acted in", h.Sh("cat /run/stopped-in"), h.vpn)
	kit.Equal(h.T, "daemons after the stop", h.Run("pgrep -x 'sshd|guard'").Stdout, "")
}

// untouched runs what must neither stop nor restart a service, and returns what
// it printed.
func (h *host) untouched(run func() string) string {
	h.T.Helper()
	before := h.running()
	h.Sh("rm -f /run/stopped-in")
	out := run()
	kit.Equal(h.T, "daemons", h.running(), before)
	h.Sh("! [ -e /run/stopped-in ]")
	return out
}

// sound asserts that the installation is complete and of the version.
func (h *host) sound(version string) {
	h.T.Helper()
	for _, program := range []string{"netns-exec", "rc-netns"} {
		kit.Equal(h.T, "version", h.Sh(program+" --version"), program+" "+version)
	}
	out := h.Sh("rc-netns check")
	kit.Contains(h.T, out, "system: ok")
	kit.Contains(h.T, out, "guard: ok")
}

// installer is a package manager on a machine.
type installer interface {
	// install installs or upgrades, or downgrades, and returns what is printed.
	install(version string) string
	// refused asserts that the package stays while services run.
	refused() string
	// remove removes the package, without the configuration where that is
	// possible.
	remove() string
}

// lifecycle is the life of a package on a machine: what is said, and what
// becomes of services that run.
func lifecycle(t *testing.T, h *host, p installer) {
	kit.Contains(t, p.install(older), "works with openrc-netns")
	h.sound(older)
	h.start()
	h.Sh("echo netns_post_up=: >>/etc/conf.d/netns")

	// Another version, which does not understand what the older one's drop-in
	// and library say; and back.
	for _, version := range []string{newer, older} {
		kit.Contains(t, h.untouched(func() string { return p.install(version) }), "works with openrc-netns")
		h.sound(version)
		kit.Contains(t, h.Sh("rc-netns status"), "ok")
		kit.Contains(t, h.Sh("rc-service guard status"), "started")
		h.stop()
		h.start()
	}
	kit.Contains(t, h.Sh("cat /etc/conf.d/netns"), "netns_post_up=:")

	kit.Contains(t, h.untouched(p.refused), "started in network namespaces or for them: guard sshd\n")
	h.sound(older)
	h.stop()

	// One that OpenRC has been told to forget has no stop that could act.
	h.start()
	h.Sh("rc-service guard zap")
	kit.Contains(t, p.refused(), "for them: sshd\n")
	h.Sh("pkill -x guard; rm /run/guard.pid; rc-service sshd stop")

	// A namespace with a service, without any other service.
	h.Sh("ln -s netns /etc/init.d/netns.lan; rc-service netns.lan start")
	kit.Contains(t, p.refused(), "started in network namespaces or for them: netns.lan\n")
	h.Sh("rc-service netns.lan stop; rm /etc/init.d/netns.lan")

	kit.Contains(t, p.remove(), "these have settings in /etc/conf.d, and will start on the host's network: guard sshd\n")
	kit.Equal(t, "left", h.Sh("find /etc /lib /usr ! -path '*/dpkg/*' -name '*netns*' ! -name 'ip-netns*' ! -path /etc/conf.d/netns | sort"), "")
	h.Sh("rm /etc/conf.d/guard; rc-service guard start; rc-service guard stop")
}

// mixtures are drop-ins, libraries and hooks of two versions, as an upgrade that
// was interrupted leaves them: nothing starts, and what runs can be stopped.
func mixtures(t *testing.T, h *host, p installer) {
	for _, old := range []string{
		"/etc/rc.conf.d/50-netns.conf",
		"/usr/sbin/openrc-netns-hook",
		"/etc/rc.conf.d/50-netns.conf /usr/share/openrc-netns",
	} {
		p.install(older)
		h.start()
		h.Sh("tar -cf /run/old.tar " + old)
		h.untouched(func() string { p.install(newer); return h.Sh("tar -C / -xf /run/old.tar") })
		if h.Run("rc-netns check").Code == 0 {
			t.Errorf("%s of the older version: rc-netns check finds nothing", old)
		}
		h.untouched(func() string { return h.Fails("rc-service guard restart") })
		h.stop()
		h.Fails("rc-service guard start")
		kit.Equal(t, "daemons after a start", h.Run("pgrep -x guard").Stdout, "")
		if t.Failed() {
			t.Fatalf("with %s of the older version", old)
		}
	}
}

// dpkg installs on a machine.
type dpkg struct {
	*host
	files map[string]string // by version
}

func (d dpkg) install(version string) string {
	d.T.Helper()
	return d.Sh("dpkg --force-unsafe-io,downgrade --install " + d.files[version] + " 2>&1")
}

func (d dpkg) refused() string {
	d.T.Helper()
	out := d.Fails("dpkg --remove openrc-netns")
	kit.Contains(d.T, d.Sh("dpkg --status openrc-netns"), " ok installed\n")
	return out
}

func (d dpkg) remove() string {
	d.T.Helper()
	out := d.Sh("dpkg --remove openrc-netns 2>&1")
	kit.Equal(d.T, "configuration", d.Sh("ls /etc/conf.d/*netns"), "/etc/conf.d/netns\n/etc/conf.d/openrc-netns")
	d.Sh("dpkg --purge openrc-netns; ! ls /etc/conf.d/*netns")
	return out
}

func TestDpkg(t *testing.T) {
	kit.Whole(t)
	t.Parallel()
	h := boot(t, "dash")
	lifecycle(t, h, dpkg{h, h.upload(".deb")})
}

func TestInterruptedUpgrade(t *testing.T) {
	kit.Whole(t)
	t.Parallel()
	h := boot(t, "dash")
	mixtures(t, h, dpkg{h, h.upload(".deb")})
}

// pacman installs on a machine, whose OpenRC is a package of pacman's own.
type pacman struct {
	*host
	files map[string]string
}

const run = "pacman --config /root/pacman.conf --noconfirm "

func TestPacman(t *testing.T) {
	kit.Whole(t)
	t.Parallel()
	h := boot(t, "bash")
	p := pacman{h, h.upload(".pkg.tar.zst")}
	h.Write("/root/pacman.conf", "[options]\nArchitecture = auto\nSigLevel = Never\nLocalFileSigLevel = Never\n")
	h.Sh(`rm -r /lib/lsb; mkdir -p /var/lib/pacman /root/openrc; cd /root/openrc
		version=$(dpkg-query --show --showformat '${Version}' openrc)
		printf '%s = %s\n' pkgname openrc pkgver "${version%-*}-1" arch any size 1 >.PKGINFO
		dpkg --listfiles openrc | while read -r name; do
			[ -d "$name" ] && [ ! -h "$name" ] || echo "$name"
		done | tar -C / -h --transform 's,^/,,' -cf ../openrc.pkg.tar -P -T - -C /root/openrc .PKGINFO
		` + run + `--upgrade --overwrite '*' ../openrc.pkg.tar`)
	lifecycle(t, h, p)
}

func (p pacman) install(version string) string {
	p.T.Helper()
	out := p.Sh(run + "--upgrade " + p.files[version] + " 2>&1")
	kit.Contains(p.T, p.Sh(run+"--query --check openrc-netns"), " 0 missing files")
	return out
}

func (p pacman) refused() string {
	p.T.Helper()
	out := p.Run(run + "--remove openrc-netns")
	if out.Code == 0 {
		p.T.Error("pacman removes it")
	}
	p.Sh(run + "--query openrc-netns")
	return out.Output
}

func (p pacman) remove() string {
	p.T.Helper()
	out := p.Sh(run + "--remove openrc-netns 2>&1")
	kit.Equal(p.T, "left in conf.d", p.Sh("ls /etc/conf.d/*netns*; rm /etc/conf.d/netns.pacsave"), "/etc/conf.d/netns.pacsave")
	return out
}

// alpine does on a machine what apk does: what it does with files, and when it
// runs which script, of whose failure it only tells.
type alpine struct {
	*host
	apks map[string]apk
	now  *string // the version that is installed
}

func TestApk(t *testing.T) {
	kit.Whole(t)
	t.Parallel()
	a := alpine{boot(t, "busybox"), map[string]apk{older: readAPK(t, file(t, older, ".apk")), newer: readAPK(t, file(t, newer, ".apk"))}, new(string)}
	a.Sh("rm -r /lib/lsb")
	lifecycle(t, a.host, a)
}

// script runs a script of a version as apk does, with the package's version,
// and in an upgrade that of the one before.
func (a alpine) script(of, name string, versions ...string) (out string, err error) {
	a.T.Helper()
	if a.apks[of].scripts[name] == "" {
		return "", nil
	}
	a.Write("/lib/apk/exec/script", a.apks[of].scripts[name])
	result := a.Run("cd /; /lib/apk/exec/script " + strings.Join(versions, "-r1 ") + "-r1 2>&1; status=$?; rm -r /lib/apk; exit $status")
	return result.Output, result.Err()
}

// changed tells whether an administrator has changed a file of a package.
func (a alpine) changed(e entry) bool {
	content, err := a.ReadFile("/" + e.Name)
	sum := sha1.Sum([]byte(content))
	return err == nil && hex.EncodeToString(sum[:]) != e.PAXRecords["APK-TOOLS.checksum.SHA1"]
}

func (a alpine) install(version string) string {
	a.T.Helper()
	before := *a.now
	old := map[string]entry{}
	for _, e := range a.apks[before].data {
		old[e.Name] = e
	}
	todo := "set -e\n"
	for _, e := range a.apks[version].data {
		name := "/" + e.Name
		previous, had := old[e.Name]
		delete(old, e.Name)
		if !had {
			previous = e
		}
		if strings.HasPrefix(e.Name, "etc/") && e.Typeflag == tar.TypeReg && a.changed(previous) {
			name += ".apk-new"
		}
		switch e.Typeflag {
		case tar.TypeDir:
			todo += "mkdir -p " + name + "\n"
		case tar.TypeSymlink:
			todo += "ln -sfn " + e.Linkname + " " + name + "\n"
		default:
			if err := a.WriteFile(name+".apk.new", os.FileMode(e.Mode), e.content); err != nil {
				a.T.Fatal(err)
			}
			todo += "mv " + name + ".apk.new " + name + "\n"
		}
	}
	for name := range old {
		todo += "rm /" + name + "\n"
	}
	a.Sh(todo)
	*a.now = version
	script, versions := ".post-install", []string{version}
	if before != "" {
		script, versions = ".post-upgrade", []string{version, before}
	}
	out, err := a.script(version, script, versions...)
	if err != nil {
		a.T.Error(err)
	}
	return out
}

// refused is what apk cannot do: it removes, and says loudly what that means.
func (a alpine) refused() string {
	a.T.Helper()
	version := *a.now
	out, err := a.purge()
	if err == nil {
		a.T.Error("no script failed")
	}
	a.install(version)
	return out
}

func (a alpine) remove() string {
	a.T.Helper()
	out, err := a.purge()
	if err != nil {
		a.T.Error(err)
	}
	kit.Equal(a.T, "left in conf.d", a.Sh("ls /etc/conf.d/*netns"), "/etc/conf.d/netns")
	return out
}

func (a alpine) purge() (string, error) {
	a.T.Helper()
	out, err := a.script(*a.now, ".pre-deinstall", *a.now)
	todo := "set -e\n"
	for _, e := range slices.Backward(a.apks[*a.now].data) {
		switch {
		case e.Typeflag == tar.TypeDir:
			todo += "rmdir /" + e.Name + " 2>/dev/null || :\n"
		case !strings.HasPrefix(e.Name, "etc/") || e.Typeflag != tar.TypeReg || !a.changed(e):
			todo += "rm -f /" + e.Name + " /" + e.Name + ".apk-new\n"
		default:
			todo += "rm -f /" + e.Name + ".apk-new\n"
		}
	}
	a.Sh(todo)
	if after, err := a.script(*a.now, ".post-deinstall", *a.now); err != nil {
		a.T.Error(after, err)
	}
	*a.now = ""
	return out, err
}
