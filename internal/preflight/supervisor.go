package preflight

import (
	"fmt"
	"path/filepath"
	"strings"

	"openrc-netns/internal/confd"
	"openrc-netns/internal/finding"
	"openrc-netns/internal/serviceconf"
)

// lookAtSupervisor looks for one that starts the daemon from elsewhere, and that
// the drop-in can have start it inside in no way.
func (s *subject) lookAtSupervisor(system System) {
	where := s.from[supervisorName]
	if where.Line == 0 {
		return
	}
	why, id := "", finding.SupervisorRunit
	switch s.supervisor {
	case "runit":
		why = "the run script is your own, and runs on the host's network"
	case "s6":
		why, id = s.refusedByS6(system), finding.SupervisorS6
	}
	if why == "" {
		return
	}
	s.add(id, finding.Fails, where, s.edit(supervisorName, "supervise-daemon"), why, s.operands())
}

// refusedByS6 says why the drop-in cannot have s6 start the daemon inside; empty
// if it can, or if only a shell could tell.
func (s *subject) refusedByS6(system System) string {
	if !confd.Mentions(filepath.Join(system.Directory, "sh/s6.sh"), "_s6_servicedir_create") {
		return "this OpenRC does not write the run script, it is your own"
	}
	name := s.variable("name")
	if name == "" {
		name = s.Name
	}
	if run := filepath.Join("/var/svc.d", name, "run"); !s.assigns("command") && executable(run) {
		return run + " is your own"
	}
	if chroot := s.variable("chroot"); chroot != "" {
		return fmt.Sprintf("it would look for netns-exec below %q, the value of chroot", chroot)
	}
	if strings.HasPrefix(s.Netns, "/proc/") && s.Netns != "/proc/1/ns/net" {
		return "it starts the daemon again, and netns may be another process's by then"
	}
	const plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./:@%+,=- \t"
	for _, value := range []string{s.Netns, s.VRF, s.settings.Hide, s.variable("command_user")} {
		if strings.Trim(value, plain) != "" {
			return fmt.Sprintf("it takes letters, digits and _./:@%%+,=- alone, and not %q", value)
		}
	}
	for _, name := range []string{"output_logger", "error_logger"} {
		if value := s.variable(name); strings.ContainsAny(value, ";&|`\n") || strings.Contains(value, "$(") {
			return fmt.Sprintf("part of the logger would be outside, as %s is more than one command", name)
		}
	}
	return ""
}

// variable is the value of one of OpenRC's variables as far as it can be read
// without a shell; else empty.
func (s *subject) variable(name string) (value string) {
	for _, file := range append(serviceconf.Files(s.Name), s.script) {
		if !confd.Assigns(file, name) {
			continue
		}
		value = ""
		if found, err := confd.Head(file, []string{name}); err == nil && len(found) > 0 {
			value = found[len(found)-1].Value
		}
	}
	return value
}

// assigns reports whether a file may give the variable a value.
func (s *subject) assigns(name string) bool {
	for _, file := range append(serviceconf.Files(s.Name), s.script) {
		if confd.Assigns(file, name) {
			return true
		}
	}
	return false
}

// operands are the settings as netns-exec(8) takes them.
func (s *subject) operands() string {
	var words []string
	if s.Lock {
		words = append(words, "--lock")
		if spec, err := s.settings.Spec(); err == nil && len(spec.Keep) > 0 {
			words = append(words, "--lock-keep", strings.Join(spec.Keep, ","))
		}
	}
	if s.VRF != "" {
		words = append(words, "--vrf", s.VRF)
	}
	if s.Netns != "" {
		words = append(words, s.Netns)
	}
	return strings.Join(words, " ")
}
