package preflight

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// lookAtScript looks whether OpenRC runs the script, and not somebody else.
func (s *subject) lookAtScript(system System) {
	if s.script == "" {
		s.addScriptMissing()
		return
	}
	info, err := os.Stat(s.script)
	if err != nil {
		return
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0 {
		effect, why := Fails, "OpenRC does not start it"
		if system.runsEveryScript() {
			effect, why = Warning, "OpenRC does not ask it for its dependencies, so it may be started before its network namespace is there"
		}
		s.add("script-not-executable", effect, Where{Path: s.script}, "the init script cannot be executed", why,
			run("make it executable, and have OpenRC look again", "chmod 755 "+s.script, "rc-update -u"))
		return
	}
	interpreter := lineOf(s.script, 1)
	if strings.Contains(interpreter, "openrc-run") || strings.Contains(interpreter, "runscript") || entersItself(s.script) {
		return
	}
	header, sources := lsb(s.script)
	switch {
	case !header && (sources || system.runsEveryScript()):
		s.add("script-no-header", Fails, Where{s.script, 1},
			"the init script is not one for openrc-run, and has no LSB header",
			"OpenRC takes a script of another interpreter for one of Debian's by its header, and cannot run this one inside",
			run("write the header", fmt.Sprintf(`sed -i '1a ### BEGIN INIT INFO\n# Provides: %s\n# Required-Start:\n# Required-Stop:\n# Default-Start: 2 3 4 5\n# Default-Stop: 0 1 6\n# Short-Description: %s\n### END INIT INFO' %s`,
				s.Name, s.Name, s.script)))
		return
	case sources || system.runsEveryScript():
		return
	}
	s.add("script-bypasses-openrc", Outside, Where{s.script, 1},
		fmt.Sprintf("the init script begins with %q and not with #!/sbin/openrc-run", interpreter),
		"rc-service hands it to that interpreter, the drop-in is not asked, and the service runs on the host's network",
		run("have the script enter by itself", fmt.Sprintf(
			`sed -i '1a [ "$NETNS_ENTERED" = %s ] || exec env NETNS_ENTERED=%s netns-exec --service %s -- "$0" "$@"' %s`,
			s.Name, s.Name, s.Name, s.script)))
}

// entersItself reports whether the script has the line of that remedy.
func entersItself(script string) bool {
	return strings.Contains(lineOf(script, 2), "exec env NETNS_ENTERED=")
}

// lsb reports whether a script has the header of Debian's, and whether it sources
// the file by way of which one of ours hands it over to OpenRC.
func lsb(script string) (header, sources bool) {
	text, err := os.ReadFile(script)
	if err != nil {
		return false, false
	}
	_, err = os.Stat(lsbFunctions)
	return strings.Contains(string(text), "\n### BEGIN INIT INFO"), err == nil && strings.Contains(string(text), lsbFunctions)
}

// runsEveryScript reports whether rc-service gives every script to openrc-run, as
// Debian's does since 0.63.
func (s System) runsEveryScript() bool {
	if _, err := os.Stat(filepath.Join(s.Directory, "bin/lsb2rcconf")); err != nil {
		return false
	}
	var major, minor int
	n, _ := fmt.Sscanf(s.OpenRC, "%d.%d", &major, &minor)
	return n == 2 && (major > 0 || minor >= 63)
}

// addScriptMissing is for settings that no service has.
func (s *subject) addScriptMissing() {
	where := s.from["netns"]
	if where.Path == "" {
		where = Where{Path: filepath.Join(confDir, s.Name)}
	}
	what := fmt.Sprintf("there is no service %q: %s does not exist", s.Name, filepath.Join(initDir, s.Name))
	const why = "nobody reads these settings"
	base, _, multiplexed := strings.Cut(s.Name, ".")
	scripts, _ := names(initDir)
	if multiplexed && slices.Contains(scripts, base) {
		s.add("script-missing", Fails, where, what, why,
			run("link it to the script that it is a second service of", fmt.Sprintf("ln -s %s %s", base, filepath.Join(initDir, s.Name))))
		return
	}
	file := filepath.Join(confDir, s.Name)
	if meant := nearest(s.Name, scripts); meant != "" {
		s.add("script-missing", Fails, where, what, why,
			run(fmt.Sprintf("if %q is meant, move them there", meant),
				fmt.Sprintf("cat %s >>%s", file, filepath.Join(confDir, meant)), "rm "+file))
		return
	}
	s.add("script-missing", Fails, where, what, why, run("install the service, or remove the file", "rm "+file))
}

// executable reports whether OpenRC would take the file for an init script.
func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && unix.Access(path, unix.X_OK) == nil
}
