package namespace

import (
	"bufio"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"openrc-netns/internal/files"
	"openrc-netns/internal/rcdir"
)

// ifstateConfig is where ifstate's init script looks.
const ifstateConfig = "/etc/ifstate/config.yml"

// Creator is the service that creates the network namespace called name on this
// machine: netns.NAME, or an ifstate that is in a runlevel and has the name in
// its configuration. It is empty if there is none.
func Creator(name string) string {
	if name == "" || CheckName(name) != nil || filepath.IsAbs(name) {
		return ""
	}
	info, err := os.Stat(filepath.Join(rcdir.Init, "netns."+name))
	if err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
		return "netns." + name
	}
	if levels, _ := filepath.Glob(filepath.Join(rcdir.Runlevels, "*", "ifstate")); len(levels) > 0 && configures(name) {
		return "ifstate"
	}
	return ""
}

// CreateCommand is the command with which an administrator creates the network
// namespace called name, which does not exist: a restart of the service that
// should have made it, if OpenRC has it for started.
func CreateCommand(name string) []string {
	service := Creator(name)
	if service == "" {
		if !hasIPNetns() {
			return []string{"rc-netns", "up", name}
		}
		return []string{"ip", "netns", "add", name}
	}
	if _, err := os.Lstat(filepath.Join(rcdir.State(), "started", service)); err == nil {
		return []string{"rc-service", service, "restart"}
	}
	return []string{"rc-service", service, "start"}
}

// DeleteCommands take the name away from a network namespace.
func DeleteCommands(name string) [][]string {
	if path := filepath.Join(Dir, name); !hasIPNetns() {
		return [][]string{{"umount", path}, {"rm", path}}
	}
	return [][]string{{"ip", "netns", "delete", name}}
}

// programs are where ip(8) may be, iproute2's or busybox's, which has no netns.
var programs = []string{"/usr/sbin", "/sbin", "/usr/bin", "/bin", "/usr/local/sbin"}

// hasIPNetns reports whether this machine has an ip-netns(8) that a remedy can
// name. (A link to busybox, of either kind, is the same file.)
func hasIPNetns() bool {
	var busybox []os.FileInfo
	for _, dir := range programs {
		if info, err := os.Stat(filepath.Join(dir, "busybox")); err == nil {
			busybox = append(busybox, info)
		}
	}
	return slices.ContainsFunc(programs, func(dir string) bool {
		ip, err := os.Stat(filepath.Join(dir, "ip"))
		return err == nil && !slices.ContainsFunc(busybox, func(b os.FileInfo) bool { return os.SameFile(ip, b) })
	})
}

// configures reports whether ifstate's configuration has the namespace: a key
// of that name, one level below the key "namespaces". (It does not follow what
// the file includes: a reader of YAML would be a lot for a remedy.)
func configures(name string) bool {
	file, err := files.OpenRegular(ifstateConfig)
	if err != nil {
		return false
	}
	defer file.Close()
	return hasNamespace(file, name)
}

func hasNamespace(config io.Reader, name string) bool {
	inside, level := false, 0
	for lines := bufio.NewScanner(config); lines.Scan(); {
		line := lines.Text()
		key := strings.TrimLeft(line, " ")
		indent := len(line) - len(key)
		key, _, found := strings.Cut(key, ":")
		switch {
		case key == "" || key[0] == '#':
		case indent == 0:
			inside, level = found && key == "namespaces", 0
		case inside && (level == 0 || indent == level):
			level = indent
			if found && strings.Trim(key, `"'`) == name {
				return true
			}
		}
	}
	return false
}
