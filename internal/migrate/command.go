package migrate

import (
	"slices"
	"strings"

	"openrc-netns/internal/script"
)

// command looks at one.
func (s *service) command(f *file, c script.Command) {
	words, _ := skipKeyword(c.Words)
	for len(words) > 0 {
		name, value, ok := words[0].Assignment()
		if !ok {
			break
		}
		s.assignment(f, name, value)
		words = words[1:]
	}
	if len(words) == 0 || words[0].Raw == "for" || words[0].Raw == "select" || slices.Contains(speaks, s.program(words[0])) {
		return
	}
	if s.makes(f, words) || s.moves(f, words) {
		return
	}
	found := s.entries(f, words, ":")
	found = s.daemon(f, words) || found
	for _, w := range words {
		if isOptional(w) {
			continue
		}
		if fields, ok := w.Fields(); ok && len(fields) > 1 {
			if at, in := s.contains(fields); in {
				s.remark(InText, f, fields[at].Line)
			}
		} else if !ok && mayEnter(w.Raw) {
			s.remark(InText, f, w.Line)
		}
	}
	name := s.program(words[0])
	at := located{f, words[0].Line, name}
	switch {
	case found || !slices.Contains(actsOnNetwork, name):
	case name == "sysctl" && !slices.ContainsFunc(words[1:], ofNetwork):
	case name == "ip" && inside(words):
		if !abbreviates(literal(words[1]), "netns", 3) {
			s.inside = append(s.inside, at)
		}
	default:
		s.hosts = append(s.hosts, at)
	}
}

// ofNetwork reports whether an argument of sysctl has to do with networks, as
// far as can be seen.
func ofNetwork(w script.Word) bool {
	return strings.Contains(w.Raw, "net.") || strings.HasPrefix(w.Raw, "-p") || strings.HasPrefix(w.Raw, "--")
}

// skipKeyword passes over export and the like.
func skipKeyword(words []script.Word) (rest []script.Word, keyword string) {
	if keyword = words[0].Raw; slices.Contains([]string{"export", "readonly", "local", "declare", "typeset"}, keyword) {
		for words = words[1:]; len(words) > 0 && strings.HasPrefix(words[0].Raw, "-"); {
			words = words[1:]
		}
		return words, keyword
	}
	return words, ""
}

// inside reports whether an "ip" names a network namespace to act in, as "ip -n
// vpn link" does.
func inside(words []script.Word) bool {
	if len(words) < 2 {
		return false
	}
	first := literal(words[1])
	return strings.HasPrefix(first, "-n") || strings.HasPrefix(first, "--n") || abbreviates(first, "netns", 3)
}

// contains finds the first word where an entry begins.
func (s *service) contains(words []script.Word) (at int, found bool) {
	for i := range words {
		if _, found := s.enters(words, i); found {
			return i, true
		}
	}
	return 0, false
}

// mayEnter is for text that is too involved to be taken apart.
func mayEnter(text string) bool {
	return strings.Contains(text, "netns exec ") || strings.Contains(text, "vrf exec ") || strings.Contains(text, "nsenter --net")
}

// entries takes in those among words, which nothing has to be left of but
// instead.
func (s *service) entries(f *file, words []script.Word, instead string) (found bool) {
	for i := 0; i < len(words); i++ {
		if s.optional(f, words[i]) {
			found = true
			continue
		}
		e, ok := s.enters(words, i)
		if !ok {
			continue
		}
		found = true
		cuts := remove(words, i, e.end)
		if i == 0 && e.end == len(words) {
			cuts[0].text = instead
		}
		s.use(f, words, i, e, cuts)
		i = e.end - 1
	}
	return found
}

// use takes in an entry, unless there is something to be said of it.
func (s *service) use(f *file, words []script.Word, at int, e entry, cuts []cut) {
	line := words[at].Line
	if e.odd {
		s.remark(Unusual, f, line)
		return
	}
	u := use{located: located{f, line, ""}, cuts: cuts}
	if e.end < len(words) {
		u.name = s.program(words[e.end])
	}
	own := true
	for _, part := range []struct {
		word    *script.Word
		setting string
		value   *string
	}{{e.netns, "netns", &u.netns}, {e.vrf, "vrf", &u.vrf}} {
		if part.word == nil {
			continue
		}
		plain := strings.Trim(part.word.Raw, `"`)
		if plain == "$"+part.setting || plain == "${"+part.setting+"}" {
			continue
		}
		own = false
		value, unknown := part.word.Expand(s.lookup)
		name := strings.Trim(strings.TrimPrefix(unknown, "$"), "{}")
		switch {
		case name != "" && strings.Trim(name, "0123456789@*") == "":
			s.remark(FromArgument, f, line)
			return
		case unknown != "":
			u.unknown = true
			s.remark(UnknownName, f, line, unknown, part.setting)
		case value == "":
			return // it is for services that say where
		}
		*part.value = named(value)
	}
	if own {
		setting := "netns"
		if e.netns == nil {
			setting = "vrf"
		}
		s.remark(EntersAgain, f, line, setting)
		return
	}
	if err := checkPlace(u.netns, u.vrf); err != nil && !u.unknown {
		s.remark(BadName, f, line, err.Error())
		return
	}
	s.uses = append(s.uses, u)
}

// named makes a name of the path of one.
func named(netns string) string {
	for _, dir := range []string{"/run/netns/", "/var/run/netns/"} {
		if name, found := strings.CutPrefix(netns, dir); found {
			return name
		}
	}
	return netns
}

// remove cuts words out. What is behind them moves up if it is on the same line.
func remove(words []script.Word, from, to int) []cut {
	var cuts []cut
	for i := from; i < to; i++ {
		c := cut{start: words[i].Start, end: words[i].End}
		if i+1 < len(words) && words[i+1].Line == words[i].Line {
			c.end = words[i+1].Start
		}
		cuts = append(cuts, c)
	}
	return cuts
}

// optional takes in ${NAME:+ip netns exec "$NAME"}.
func (s *service) optional(f *file, w script.Word) bool {
	if !isOptional(w) {
		return false
	}
	from := strings.IndexByte(w.Raw, '+') + 1
	inner := w.Raw[from:strings.LastIndexByte(w.Raw, '}')]
	var fields []script.Word
	at := from
	for _, text := range strings.Fields(inner) {
		at += strings.Index(w.Raw[at:], text)
		fields = append(fields, script.Word{Raw: text, Start: w.Start + at, End: w.Start + at + len(text), Line: w.Line})
		at += len(text)
	}
	e, ok := s.enters(fields, 0)
	if !ok || e.end != len(fields) {
		if _, in := s.contains(fields); in {
			s.remark(InText, f, w.Line)
		}
		return true
	}
	gone := cut{start: w.Start, end: w.End}
	for gone.end < len(f.src) && f.src[gone.end] == ' ' {
		gone.end++
	}
	s.use(f, fields, 0, e, []cut{gone})
	return true
}

// isOptional reports whether a word is ${NAME:+WORDS} or ${NAME+WORDS}, and
// WORDS has to do with this.
func isOptional(w script.Word) bool {
	text := strings.Trim(w.Raw, `"`)
	variable, inner, found := strings.Cut(text, "+")
	return found && strings.HasPrefix(variable, "${") && strings.Trim(variable[2:], ":ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") == "" &&
		strings.HasSuffix(text, "}") && strings.Contains(inner, " exec ")
}

// daemon takes in a start-stop-daemon or supervise-daemon that is to run ip: the
// rest is among the arguments.
func (s *service) daemon(f *file, words []script.Word) bool {
	at := slices.IndexFunc(words, func(w script.Word) bool {
		name := s.program(w)
		return name == "start-stop-daemon" || name == "supervise-daemon"
	})
	if at < 0 {
		return false
	}
	ip := -1
	for i := at + 1; i < len(words); i++ {
		option, _, _ := strings.Cut(words[i].Raw, "=")
		if s.program(words[i]) == "ip" || (option == "--exec" || option == "--startas") && s.program(after(words[i])) == "ip" {
			ip = i
		}
		if literal(words[i]) != "netns" && literal(words[i]) != "vrf" || ip < 0 || ip+1 == i {
			continue
		}
		e, ok := s.split(words[i:])
		if !ok {
			continue
		}
		if e.end += i; e.end >= len(words) {
			e.odd = true
			e.end = len(words) - 1
		}
		cuts := remove(words, i, e.end+1)
		exec := words[ip]
		if s.program(exec) != "ip" {
			exec = after(exec)
		}
		s.use(f, words, i, e, append(cuts, cut{exec.Start, exec.End, words[e.end].Raw}))
		return true
	}
	return false
}

// after is the value of --OPTION=VALUE.
func after(w script.Word) script.Word {
	i := strings.Index(w.Raw, "=") + 1
	return script.Word{Raw: w.Raw[i:], Start: w.Start + i, End: w.End, Line: w.Line}
}

// makes takes in "ip netns add" and "ip netns delete".
func (s *service) makes(f *file, words []script.Word) bool {
	if s.program(words[0]) != "ip" || len(words) < 4 || !abbreviates(literal(words[1]), "netns", 3) {
		return false
	}
	add := abbreviates(literal(words[2]), "add", 1)
	if !add && !abbreviates(literal(words[2]), "delete", 1) {
		return false
	}
	plain := strings.Trim(words[3].Raw, `"`)
	if plain == "$netns" || plain == "${netns}" {
		return true // only where that is set, and then it is there
	}
	last := words[len(words)-1]
	name, unknown := words[3].Expand(s.lookup)
	if unknown != "" || name == "" || last.Line != words[0].Line {
		s.remark(MakesUnknown, f, words[0].Line)
		return true
	}
	s.made = append(s.made, making{located{f, words[0].Line, name}, add, cut{words[0].Start, last.End, ":"}})
	return true
}

// moves takes in "ip link set DEVICE netns NAME".
func (s *service) moves(f *file, words []script.Word) bool {
	if s.program(words[0]) != "ip" || len(words) < 5 || !abbreviates(literal(words[1]), "link", 1) || !abbreviates(literal(words[2]), "set", 1) {
		return false
	}
	device, netns, extra := "", "", false
	rest := words[3:]
	for i := 0; i < len(rest); i++ {
		text, unknown := rest[i].Expand(s.lookup)
		next := ""
		if i+1 < len(rest) {
			var more string
			if next, more = rest[i+1].Expand(s.lookup); more != "" {
				extra = true
			}
		}
		switch {
		case unknown != "":
			extra = true
		case text == "dev":
			device = next
			i++
		case text == "netns":
			netns = next
			i++
		case i == 0:
			device = text
		default:
			extra = true
		}
	}
	if netns == "" {
		return false
	}
	last := words[len(words)-1]
	if device == "" || extra || last.Line != words[0].Line {
		s.hosts = append(s.hosts, located{f, words[0].Line, "ip"})
		return true
	}
	s.moved = append(s.moved, moving{located{f, words[0].Line, device}, netns, cut{words[0].Start, last.End, ":"}})
	return true
}

// text looks at a here-document.
func (s *service) text(f *file, t script.Text) {
	for line := range strings.Lines(t.Content) {
		var words []script.Word
		for _, text := range strings.Fields(line) {
			words = append(words, script.Word{Raw: text})
		}
		if _, found := s.contains(words); found {
			s.remark(InText, f, t.Line)
			return
		}
	}
}
