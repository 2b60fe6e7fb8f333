package preflight

import (
	"cmp"
	"path/filepath"
	"strings"

	"openrc-netns/internal/confd"
	"openrc-netns/internal/finding"
	"openrc-netns/internal/openrc"
	"openrc-netns/internal/serviceconf"
)

// askLibrary asks the library of the drop-in what a start would: it exits with
// 1 and says why where the supervisor cannot start the daemon inside. The
// arguments are the drop-in, the directory of its library and OpenRC's s6.sh.
// All of them do nothing when they are read but define functions.
const askLibrary = `
. "$1"
. "$2/service.sh"
. "$2/supervisors.sh"
[ ! -r "$3" ] || . "$3"
eerror()
{
	printf '%s\n' "$*"
}
case "$supervisor" in
runit) _netns_refuse_runit ;;
s6) _netns_check_s6 ;;
esac`

// checkSupervisor looks for one that starts the daemon from elsewhere, and that
// the drop-in cannot have start it inside. What cannot be read without a shell
// counts as not set.
func (s *serviceCheck) checkSupervisor(system System) {
	where := s.from[supervisorName]
	id := map[string]finding.ID{"runit": finding.SupervisorRunit, "s6": finding.SupervisorS6}[s.supervisor]
	if where.Line == 0 || id == "" || system.library == "" {
		return
	}
	env := []string{"PATH=/sbin:/bin:/usr/sbin:/usr/bin", "RC_SVCNAME=" + s.Name, "supervisor=" + s.supervisor}
	for _, name := range openrc.Names {
		env = append(env, name+"="+s.settings.Get(name))
	}
	for _, name := range []string{"name", "command", "command_user", "chroot", "output_logger", "error_logger", "s6_service_path"} {
		value, set := s.variable(name)
		if name == "command" && set { // whatever it is
			value = cmp.Or(value, "unknown")
		}
		env = append(env, name+"="+value)
	}
	answer, err := ask(env, "/bin/sh", "-c", askLibrary, "check", dropinPath, system.library, filepath.Join(system.Directory, "sh/s6.sh"))
	text := strings.TrimPrefix(strings.TrimSpace(string(answer)), s.Name+": ")
	switch {
	case text != "":
		s.add(id, finding.Fails, where, s.edit(supervisorName, "supervise-daemon"), text)
	case err != nil:
		s.unchecked(finding.UncheckedSupervisor, s.supervisor, err)
	}
}

// variable is the value of one of OpenRC's variables as far as it can be read
// without a shell; set says that a file may give it one.
func (s *serviceCheck) variable(name string) (value string, set bool) {
	for _, file := range append(serviceconf.Files(s.Name), s.script) {
		if !confd.Assigns(file, name) {
			continue
		}
		value, set = "", true
		if found, err := confd.Head(file, []string{name}); err == nil && len(found) > 0 {
			value = found[len(found)-1].Value
		}
	}
	return value, set
}
