package preflight

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"openrc-netns/internal/files"
	"openrc-netns/internal/finding"
	"openrc-netns/internal/openrc"
	"openrc-netns/internal/rcdir"
	"openrc-netns/internal/serviceconf"
)

// A second service of one script, sshd.vpn beside sshd, shares with the first
// what the script does not name after the service: the network namespace keeps
// neither pid files nor the names of services apart.

// checkOtherServices looks for what the init script shares with, or does to, a
// service that is in use and belongs elsewhere.
func (s *serviceCheck) checkOtherServices() {
	if s.script == "" {
		return
	}
	path, err := filepath.EvalSymlinks(s.script)
	if err != nil {
		return
	}
	own := readPidfiles(s.Name, path)
	scripts, _ := names(rcdir.Init)
	for _, other := range scripts {
		script := filepath.Join(rcdir.Init, other)
		if other == s.Name || !openrc.HasScript(other) || !inUse(other) {
			continue
		}
		same := sameFile(path, script)
		if own.command != "" || same {
			theirs := readPidfiles(other, script)
			if same || theirs.command == own.command {
				s.comparePidfiles(own, theirs, other)
			}
		}
		if s.belongsElsewhere(other) {
			s.checkCalls(path, other, same)
		}
	}
}

// inUse reports whether a service runs, or is to be started with a runlevel.
func inUse(service string) bool {
	if openrc.ReadState(service) != openrc.Stopped {
		return true
	}
	levels, _ := filepath.Glob(filepath.Join(rcdir.Runlevels, "*", service))
	return len(levels) > 0
}

func sameFile(a, b string) bool {
	one, err := os.Stat(a)
	other, otherErr := os.Stat(b)
	return err == nil && otherErr == nil && os.SameFile(one, other)
}

// belongsElsewhere reports whether another service belongs in another place.
func (s *serviceCheck) belongsElsewhere(other string) bool {
	settings, err := serviceconf.Read(other)
	return err != nil || settings.Netns != s.settings.Netns || settings.VRF != s.settings.VRF
}

// patterns are for what a script has on a line.
type patterns struct {
	called   *regexp.Regexp // a call of another service by its name
	spoken   *regexp.Regexp // the beginning of what only speaks of one
	enters   *regexp.Regexp // what comes before it, netns or vrf, and a setting that it takes the name from
	assigned *regexp.Regexp // NAME=WORD
	fallback *regexp.Regexp // ${NAME:=TEXT}
	given    *regexp.Regexp // --pidfile WORD
	variable *regexp.Regexp // $NAME, ${NAME} and ${NAME:-TEXT}
}

// match has them compiled when they are wanted: a start, which does not want
// them, would wait for it.
var match = sync.OnceValue(func() patterns {
	return patterns{
		called:   regexp.MustCompile("(?:^|[\\s;&|(`])(?:(?:/\\S*/)?(?:rc-)?service\\s+(?:-\\S+\\s+)*|/etc/init\\.d/)[\"']?([A-Za-z0-9_.+-]+|\\$[A-Za-z0-9_]+|\\$\\{[A-Za-z0-9_]+\\})[\"']?\\s+([a-z_]+)"),
		spoken:   regexp.MustCompile(`\b(v?e(info|warn|error|log)n?|v?e?w?begin|v?e?w?end|echo|printf|description\w*=)`),
		enters:   regexp.MustCompile(`^((?:[^#]|[^\s#]#+)*?[\s"'])(netns|vrf)\s+exec\b\s*(["']?\$(?:netns\b|vrf\b|\{netns\}|\{vrf\}))?`),
		assigned: regexp.MustCompile(`(?:^|[\s;])([A-Za-z_][A-Za-z0-9_]*)=("[^"]*"|'[^']*'|[^\s;"']+)`),
		fallback: regexp.MustCompile(`\$\{([A-Za-z_][A-Za-z0-9_]*):?=([^}"' ]+)\}`),
		given:    regexp.MustCompile(`--pidfile[ =]+("[^"]*"|'[^']*'|[^\s;"']+)`),
		variable: regexp.MustCompile(`\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)(?::?[-=]([^}$]*))?\})`),
	}
})

// checkCalls looks for calls of another service in the script.
func (s *serviceCheck) checkCalls(script, other string, same bool) {
	text, err := files.Read(script)
	if err != nil {
		return
	}
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		found := match().called.FindStringSubmatchIndex(line)
		if found == nil || strings.HasPrefix(strings.TrimSpace(line), "#") || match().spoken.MatchString(line[:found[0]]) || line[found[4]:found[5]] == "status" {
			continue
		}
		name := line[found[2]:found[3]]
		if name != other && !s.mayHold(name, other, string(text)) {
			continue
		}
		where := finding.Where{Path: script, Line: number}
		id, remedy := finding.ServiceByName, finding.Remedy{}
		if same {
			before, after := line[:found[2]], strings.TrimSuffix(line[found[3]:], "\n")
			if quote := before[len(before)-1]; quote == '"' || quote == '\'' {
				before, after = before[:len(before)-1], after[1:]
			}
			id, remedy = finding.ServiceByNameOwn, finding.Write(finding.Edit{Path: script, Line: number, Text: before + `"$RC_SVCNAME"` + after})
		}
		s.add(id, finding.Warning, where, remedy, other, s.Name)
		return
	}
}

// mayHold reports whether a variable may have the name of the other service as
// its value. A script that knows this service by its own name may do so in
// another case.
func (s *serviceCheck) mayHold(expansion, other, text string) bool {
	name := strings.Trim(expansion, "${}")
	if name == expansion || regexp.MustCompile(`(^|[^A-Za-z0-9_.-])`+regexp.QuoteMeta(s.Name)+`([^A-Za-z0-9_.-]|$)`).MatchString(text) {
		return false
	}
	for _, m := range match().assigned.FindAllStringSubmatch(text, -1) {
		if m[1] == name && strings.Trim(m[2], `"'`) == other {
			return true
		}
	}
	return false
}
