package preflight

import (
	"path/filepath"
	"slices"
	"strings"

	"openrc-netns/internal/files"
	"openrc-netns/internal/finding"
	"openrc-netns/internal/serviceconf"
)

// comparePidfiles looks for a pid file that is another service's too.
func (s *serviceCheck) comparePidfiles(own, theirs *pidfiles, other string) {
	for _, path := range own.paths() {
		if !slices.Contains(theirs.paths(), path) {
			continue
		}
		where := own.found[path]
		var remedy finding.Remedy
		line := lineOf(where.Path, where.Line)
		if strings.Contains(line, path) && !strings.Contains(line, "'") {
			text := strings.Replace(line, path, filepath.Join(filepath.Dir(path), "$RC_SVCNAME.pid"), 1)
			remedy = finding.Write(finding.Edit{Path: where.Path, Line: where.Line, Text: text})
		}
		s.add(finding.PidfileShared, finding.Warning, where, remedy, path, other)
	}
}

// pidfiles are those that the script of a service names, as far as that can be
// told without a shell.
type pidfiles struct {
	service string
	command string // the program that it starts; empty if it is not known
	found   map[string]finding.Where
	// The words that conf.d and the script assign, the last one of each
	// variable; one that is assigned several times in the script is uncertain.
	conf, script map[string]word
	uncertain    map[string]bool
}

type word struct {
	text  string
	where finding.Where
}

func readPidfiles(service, script string) *pidfiles {
	p := &pidfiles{service: service, found: map[string]finding.Where{}, conf: map[string]word{}, script: map[string]word{}, uncertain: map[string]bool{}}
	for _, file := range serviceconf.Files(service) {
		p.read(file, p.conf)
	}
	options := p.read(script, p.script)
	if w, set := p.lookup("command"); set {
		p.command, _ = p.expand(w.text, 0)
	}
	if w, set := p.lookup("pidfile"); set {
		options = append(options, w)
	}
	for _, option := range options {
		if path, known := p.expand(option.text, 0); known && filepath.IsAbs(path) {
			path = filepath.Clean(path)
			if run, err := filepath.EvalSymlinks("/var/run"); err == nil && run == "/run" {
				path = strings.Replace(path, "/var/run/", "/run/", 1)
			}
			p.found[path] = p.origin(option, path)
		}
	}
	return p
}

// read takes in what a file assigns, and returns what it gives for --pidfile.
func (p *pidfiles) read(file string, words map[string]word) (options []word) {
	text, err := files.Read(file)
	if err != nil {
		return nil
	}
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		if strings.HasPrefix(strings.TrimSpace(line), "#") {
			continue
		}
		for _, m := range match().assigned.FindAllStringSubmatch(line, -1) {
			if before, twice := words[m[1]]; twice && before.where.Path == file && before.text != m[2] {
				p.uncertain[m[1]] = true
			}
			words[m[1]] = word{m[2], finding.Where{Path: file, Line: number}}
		}
		for _, m := range match().fallback.FindAllStringSubmatch(line, -1) {
			if _, set := p.conf[m[1]]; !set && words[m[1]].text == "" {
				words[m[1]] = word{m[2], finding.Where{Path: file, Line: number}}
			}
		}
		for _, m := range match().given.FindAllStringSubmatch(line, -1) {
			options = append(options, word{m[1], finding.Where{Path: file, Line: number}})
		}
	}
	return options
}

// lookup is the word that a variable has when the script runs.
func (p *pidfiles) lookup(name string) (word, bool) {
	if p.uncertain[name] {
		return word{}, false
	}
	if w, set := p.script[name]; set && !strings.Contains(w.text, "$"+name) && !strings.Contains(w.text, "${"+name) {
		return w, true
	}
	if w, set := p.conf[name]; set {
		return w, true
	}
	w, set := p.script[name]
	return w, set
}

// expand puts values in place of variables; known is false where it cannot.
func (p *pidfiles) expand(text string, depth int) (value string, known bool) {
	if strings.HasPrefix(text, "'") {
		return strings.Trim(text, "'"), true
	}
	text = strings.Trim(text, `"`)
	known = depth < 5
	value = match().variable.ReplaceAllStringFunc(text, func(expansion string) string {
		m := match().variable.FindStringSubmatch(expansion)
		name := m[1] + m[2]
		w, set := p.lookup(name)
		switch {
		case name == "RC_SVCNAME" || name == "SVCNAME":
			return p.service
		case name == "RC_PREFIX":
			return ""
		case p.uncertain[name] || !known:
		case set && strings.Contains(w.text, expansion): // its own default
			return m[3]
		case set:
			inner, ok := p.expand(w.text, depth+1)
			known = known && ok
			return inner
		case m[3] != "":
			return m[3]
		}
		known = false
		return ""
	})
	return value, known && !strings.ContainsAny(value, "$`*?[ ")
}

// origin is where the path is written, or the option that leads there.
func (p *pidfiles) origin(option word, path string) finding.Where {
	for _, words := range []map[string]word{p.script, p.conf} {
		for _, w := range words {
			if strings.Contains(w.text, path) && !strings.Contains(option.text, path) {
				return w.where
			}
		}
	}
	return option.where
}

func (p *pidfiles) paths() []string {
	var paths []string
	for path := range p.found {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	return paths
}
