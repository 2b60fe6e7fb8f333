package serviceconf

import (
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"openrc-netns/internal/ask"
	"openrc-netns/internal/rcdir"
)

// Default is the network namespace of services whose conf.d files say nothing of
// netns.
type Default struct {
	Netns string // netns_default; empty if there is none
	// Runlevels are those of netns_default_runlevels, of which a service has to be in
	// one. Without them it must not be in one of BootRunlevels; and if it is in
	// none at all, a boot must not be going on, in which others may need it.
	Runlevels []string
}

// The variables of Default, in the files that GlobalFiles lists.
const (
	DefaultSetting   = "netns_default"
	RunlevelsSetting = "netns_default_runlevels"
)

// BootRunlevels are those of services that prepare the machine.
var BootRunlevels = []string{"sysinit", "boot", "shutdown"}

// Exemption says why Default is not for a service; empty if it is.
type Exemption string

// What exempts a service by its name is what it does for the machine.
const (
	SetsUpNetworks Exemption = "networks"
	Mounts         Exemption = "mounts"
	Prepares       Exemption = "machine"
	OpensConsole   Exemption = "console"
	Supervises     Exemption = "supervisor"  // it runs the daemons of other services
	Boots          Exemption = "boot"        // it is in one of BootRunlevels, or started in a boot
	InNoRunlevel   Exemption = "no-runlevel" // it is in none of Default.Runlevels
	SaysItself     Exemption = "conf.d"      // its own files say netns
)

// exempt are patterns of names. The drop-in has the same ones.
var exempt = map[Exemption]string{
	SetsUpNetworks: "netns netns.* netns-publish.* ifstate net.* networking network NetworkManager connman " +
		"dhcpcd dhclient udhcpc ifplugd iwd wpa_supplicant wpa_cli loopback staticroute",
	Mounts: "localmount netmount nfsmount autofs elogind root fsck mtab swap mount-ro",
	Prepares: "sysfs devfs procfs cgroups dev-settle udev* mdev hwdrivers modules dmesg binfmt " +
		"bootmisc sysctl hostname hwclock swclock osclock seedrng urandom savecache killprocs",
	OpensConsole: "agetty*",
	Supervises:   "s6-svscan runsvdir",
}

// ReadDefault reads what is set for all services. The error is as Global's.
func ReadDefault() (Default, error) {
	set, err := Global(DefaultSetting, RunlevelsSetting)
	return newDefault(set), err
}

func newDefault(set map[string]string) Default {
	return Default{set[DefaultSetting], strings.Fields(set[RunlevelsSetting])}
}

// Global returns the values of those of names that are set for all services. The error
// is as that of Values.
func Global(names ...string) (map[string]string, error) { return read(nobody, GlobalFiles(), names) }

// nobody is a service that has no settings of its own.
const nobody = "openrc-netns-check"

// GlobalFiles are what OpenRC reads for all services, in its order, but for the
// drop-in.
func GlobalFiles() []string {
	files, _ := filepath.Glob(filepath.Join(filepath.Dir(DropIn), "*.conf"))
	return slices.DeleteFunc(append([]string{"/etc/rc.conf"}, files...), func(file string) bool { return file == DropIn })
}

// DropIn is what has OpenRC run services where they belong.
const DropIn = "/etc/rc.conf.d/50-netns.conf"

// Exempts says why d is not for a service whose files say nothing of netns.
func (d Default) Exempts(service string) Exemption {
	for why, patterns := range exempt {
		for pattern := range strings.FieldsSeq(patterns) {
			if match, _ := path.Match(pattern, service); match {
				return why
			}
		}
	}
	switch {
	case len(d.Runlevels) > 0 && !InRunlevel(service, d.Runlevels...):
		return InNoRunlevel
	case len(d.Runlevels) > 0:
	case InRunlevel(service, BootRunlevels...), slices.Contains(BootRunlevels, ask.Runlevel()) && !InRunlevel(service, "*"):
		return Boots
	}
	return ""
}

// InRunlevel reports whether service is in a runlevel that one of the patterns
// matches, or in one that is stacked there (rc-update(8)).
func InRunlevel(service string, runlevels ...string) bool {
	for _, level := range runlevels {
		dirs, _ := filepath.Glob(filepath.Join(rcdir.Runlevels, level))
		stacked, _ := filepath.Glob(filepath.Join(rcdir.Runlevels, level, "*"))
		for _, dir := range append(dirs, stacked...) {
			if _, err := os.Stat(filepath.Join(dir, service)); err == nil {
				return true
			}
		}
	}
	return false
}
