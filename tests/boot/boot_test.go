// Package boot tests services and their namespaces where OpenRC itself starts
// and stops them all: in virtual machines that boot, and shut down.
package boot

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"openrc-netns/tests/kit"
	"openrc-netns/tests/vm"
)

// installed is what "make install DESTDIR=" has filled, and the probe.
var installed string

func TestMain(m *testing.M) {
	vm.Init()
	os.Exit(kit.Main(m, &installed))
}

// disk is what a virtual machine finds in its root when it boots.
type disk struct {
	t   *testing.T
	dir string
}

func newDisk(t *testing.T) *disk {
	t.Helper()
	kit.Require(t)
	d := &disk{t, t.TempDir()}
	d.must(os.CopyFS(d.dir, os.DirFS(installed)))
	return d
}

func (d *disk) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

func (d *disk) write(name string, mode os.FileMode, content string) {
	d.t.Helper()
	name = filepath.Join(d.dir, name)
	d.must(os.MkdirAll(filepath.Dir(name), 0o755))
	d.must(os.WriteFile(name, []byte(content), mode))
}

func (d *disk) link(name, target string) {
	d.t.Helper()
	name = filepath.Join(d.dir, name)
	d.must(os.MkdirAll(filepath.Dir(name), 0o755))
	d.must(os.Symlink(target, name))
}

// script is an init script, conf the settings of a service, and add puts
// services into a runlevel.
func (d *disk) script(service, text string) {
	d.t.Helper()
	d.write("etc/init.d/"+service, 0o755, "#!/sbin/openrc-run\n"+text)
}

func (d *disk) conf(service, text string) {
	d.t.Helper()
	d.write("etc/conf.d/"+service, 0o644, text)
}

func (d *disk) add(runlevel string, services ...string) {
	d.t.Helper()
	for _, service := range services {
		d.link("etc/runlevels/"+runlevel+"/"+service, "/etc/init.d/"+service)
	}
}

// namespace is the service of a namespace.
func (d *disk) namespace(name, conf string) {
	d.t.Helper()
	d.link("etc/init.d/netns."+name, "netns")
	d.conf("netns."+name, conf)
}

// guest is a running virtual machine.
type guest struct{ kit.Host }

// boot has OpenRC boot the virtual machine.
func (d *disk) boot() *guest { d.t.Helper(); return d.start(vm.Options{Boot: true}) }

func (d *disk) start(options vm.Options) *guest {
	d.t.Helper()
	options.Install = d.dir
	return &guest{kit.Host{Machine: kit.StartVM(d.t, options), T: d.t}}
}

// inside is the namespace called name, as the links of /proc/PID/ns show it.
func (g *guest) inside(name string) string {
	g.T.Helper()
	return "net:[" + g.Sh("stat -L -c %i /run/netns/"+name) + "]"
}

// where is the namespace that the daemon of a service is in.
func (g *guest) where(service string) string {
	g.T.Helper()
	return g.Sh("readlink /proc/$(cat /run/" + service + ".pid)/ns/net")
}

// states are the services that OpenRC has in a state.
func (g *guest) states(state string) string {
	g.T.Helper()
	return g.Sh("ls /run/openrc/" + state + " | grep -v cgroups | xargs")
}

// order is what the services have written down, as "SERVICE DID" each.
func (g *guest) order() []string {
	g.T.Helper()
	return strings.Split(g.Sh("cut -d' ' -f1,2 /run/order"), "\n")
}

// before asserts that in list one entry comes before another.
func before(t *testing.T, list []string, first, second string) {
	t.Helper()
	i, j := slices.Index(list, first), slices.Index(list, second)
	if i < 0 || j < 0 || i > j {
		t.Errorf("%q does not come before %q: %q", first, second, list)
	}
}
