package preflight

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"openrc-netns/internal/confd"
	"openrc-netns/internal/files"
	"openrc-netns/internal/finding"
	"openrc-netns/internal/rcdir"
	"openrc-netns/internal/shell"
)

// checkScript looks whether OpenRC runs the script, and not somebody else.
func (s *serviceCheck) checkScript(system System) {
	if s.script == "" {
		s.scriptMissing()
		return
	}
	info, err := os.Stat(s.script)
	if err != nil {
		return
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0 {
		id, gravity := finding.ScriptNotExecutable, finding.Fails
		if system.runsEveryScript() {
			id, gravity = finding.ScriptNotExecutableLater, finding.Warning
		}
		s.add(id, gravity, finding.Where{Path: s.script}, makeExecutable(s.script))
		return
	}
	interpreter := lineOf(s.script, 1)
	if strings.Contains(interpreter, "openrc-run") || strings.Contains(interpreter, "runscript") || entersItself(s.script) {
		return
	}
	header, sources := lsb(s.script)
	where := finding.Where{Path: s.script, Line: 1}
	switch {
	case !header && (sources || system.runsEveryScript()):
		s.add(finding.ScriptNoHeader, finding.Fails, where, insertBelow(where, "### BEGIN INIT INFO", "# Provides: "+s.Name, "# Required-Start:",
			"# Required-Stop:", "# Default-Start: 2 3 4 5", "# Default-Stop: 0 1 6", "# Short-Description: "+s.Name, "### END INIT INFO"))
		return
	case sources || system.runsEveryScript():
		return
	}
	line := fmt.Sprintf(`[ "$NETNS_ENTERED" = %[1]s ] || exec env NETNS_ENTERED=%[1]s netns-exec --service %[1]s -- "$0" "$@"`, shell.Quote(s.Name))
	s.add(finding.ScriptBypassesOpenRC, finding.Outside, where, insertBelow(where, line), interpreter)
}

// checkEnters looks for a line that enters a network namespace or a VRF by
// itself. One that takes the name from the setting enters what it is in already:
// Alpine's firewalls do, and a lock alone keeps them from it.
func (s *serviceCheck) checkEnters(files []string) {
	if s.Makes != "" || publishes(s.Name) != "" {
		return // ours, and on the host's network
	}
	id := finding.ScriptEnters
	if s.Lock {
		id = finding.ScriptEntersLocked
	}
	for _, file := range append(files, s.script) {
		text, _ := confd.Load(file)
		number := 0
		for line := range strings.Lines(string(text)) {
			number++
			found := match().enters.FindStringSubmatch(line)
			if found == nil || found[3] != "" && !s.Lock {
				continue
			}
			command := found[1][strings.LastIndexAny(found[1], ";&|")+1:]
			if !match().spoken.MatchString(command) {
				s.add(id, finding.Warning, finding.Where{Path: file, Line: number}, finding.Remedy{}, "ip "+found[2]+" exec")
				return
			}
		}
	}
}

// makeExecutable has OpenRC take a script for one.
func makeExecutable(script string) finding.Remedy {
	return finding.Run("chmod", "755", script).Run("rc-update", "-u")
}

// insertBelow writes lines below another one, as sed(1) takes them.
func insertBelow(where finding.Where, lines ...string) finding.Remedy {
	text := strings.ReplaceAll(strings.Join(lines, "\n"), `\`, `\\`)
	return finding.Run("sed", "-i", fmt.Sprintf("%da %s", where.Line, strings.ReplaceAll(text, "\n", `\n`)), where.Path)
}

// entersItself reports whether the script has the line of that remedy.
func entersItself(script string) bool {
	return strings.Contains(lineOf(script, 2), "exec env NETNS_ENTERED=")
}

// lsb reports whether a script has the header of Debian's, and whether it
// sources the file by way of which one of ours hands it over to OpenRC.
func lsb(script string) (header, sources bool) {
	text, err := files.Read(script)
	if err != nil {
		return false, false
	}
	_, err = os.Stat(lsbFunctions)
	return strings.Contains(string(text), "\n### BEGIN INIT INFO"), err == nil && strings.Contains(string(text), lsbFunctions)
}

// runsEveryScript reports whether rc-service gives every script to openrc-run,
// as Debian's does since 0.63.
func (s System) runsEveryScript() bool {
	if _, err := os.Stat(filepath.Join(s.Directory, "bin/lsb2rcconf")); err != nil {
		return false
	}
	var major, minor int
	n, _ := fmt.Sscanf(s.OpenRC, "%d.%d", &major, &minor)
	return n == 2 && (major > 0 || minor >= 63)
}

// scriptMissing is for settings that no service has.
func (s *serviceCheck) scriptMissing() {
	file, script := filepath.Join(rcdir.Conf, s.Name), filepath.Join(rcdir.Init, s.Name)
	where := s.from["netns"]
	if where.Path == "" {
		where = finding.Where{Path: file}
	}
	base, _, multiplexed := strings.Cut(s.Name, ".")
	scripts, _ := names(rcdir.Init)
	id, remedy, args := finding.ScriptMissing, finding.Run("rm", file), []any{s.Name, script}
	if near := nearest(s.Name, scripts); multiplexed && slices.Contains(scripts, base) {
		id, remedy = finding.ScriptMissingLink, finding.Run("ln", "-s", base, script)
	} else if near != "" {
		id, args = finding.ScriptMissingNear, append(args, near)
		remedy = finding.Remedy{}.RunTo(filepath.Join(rcdir.Conf, near), "cat", file).Run("rm", file)
	}
	s.add(id, finding.Fails, where, remedy, args...)
}

// executable reports whether OpenRC would take the file for an init script.
func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && unix.Access(path, unix.X_OK) == nil
}
