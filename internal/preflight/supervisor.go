package preflight

import (
	"path/filepath"
	"slices"
	"strings"

	"openrc-netns/internal/finding"
	"openrc-netns/internal/openrc"
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
// the drop-in cannot have start it inside.
func (s *serviceCheck) checkSupervisor(system System) {
	supervisor := s.values["supervisor"]
	id := map[string]finding.ID{"runit": finding.SupervisorRunit, "s6": finding.SupervisorS6}[supervisor]
	if id == "" || system.library == "" {
		return
	}
	env := []string{"PATH=/sbin:/bin:/usr/sbin:/usr/bin", "RC_SVCNAME=" + s.Name}
	for _, name := range openrc.Names {
		env = append(env, name+"="+s.settings.Get(name))
	}
	for name, value := range s.values {
		if slices.Contains(variables, name) {
			env = append(env, name+"="+value)
		}
	}
	answer, err := run(env, "/bin/sh", "-c", askLibrary, "check", dropinPath, system.library, filepath.Join(system.Directory, "sh/s6.sh"))
	text := strings.TrimPrefix(strings.TrimSpace(string(answer)), s.Name+": ")
	switch where := s.from["supervisor"]; {
	case text != "" && where.Line == 0:
		s.add(id, finding.Fails, finding.Where{Path: s.script}, finding.Remedy{}, text)
	case text != "":
		s.add(id, finding.Fails, where, s.edit("supervisor", "supervise-daemon"), text)
	case err != nil:
		s.unchecked(finding.UncheckedSupervisor, supervisor, err)
	}
}
