package main

import (
	"openrc-netns/internal/audit"
	"openrc-netns/internal/finding"
	"openrc-netns/internal/openrc"
	"openrc-netns/internal/preflight"
	"openrc-netns/internal/publish"
	"openrc-netns/internal/serviceconf"
)

// What status and check print for programs. No list in it is null. The version
// of a schema grows when a field is removed or means something else, not when
// one is added.
const (
	checkSchema  = 1
	statusSchema = 1
)

// These are the JSON of check.
type (
	jsonCheck struct {
		Version  int           `json:"version"`
		System   jsonSystem    `json:"system"`
		Services []jsonChecked `json:"services"`
		Default  string        `json:"default"`
		Exempt   []jsonExempt  `json:"exempt"`
	}
	jsonExempt struct {
		Name string                `json:"name"`
		Why  serviceconf.Exemption `json:"why"`
	}
	jsonSystem struct {
		OpenRC    string `json:"openrc"`
		Directory string `json:"directory"`
		Patched   bool   `json:"alpine_patches"`
		jsonFound
	}
	jsonChecked struct {
		Name  string `json:"name"`
		Known bool   `json:"settings_known"`
		Netns string `json:"netns"`
		VRF   string `json:"vrf"`
		Lock  bool   `json:"lock"`
		Makes string `json:"makes"`
		jsonFound
	}
	jsonFound struct {
		Findings  []jsonFinding `json:"findings"`
		Unchecked []string      `json:"unchecked"`
	}
	jsonFinding struct {
		ID     string          `json:"id"`
		Effect finding.Gravity `json:"effect"`
		Where  jsonWhere       `json:"where"`
		What   string          `json:"what"`
		Why    string          `json:"why"`
		Remedy jsonRemedy      `json:"remedy"`
	}
	jsonWhere struct {
		Path string `json:"path"`
		Line int    `json:"line"`
	}
	jsonRemedy struct {
		Text     string     `json:"text"`
		Commands []string   `json:"commands"` // for a shell
		Edits    []jsonEdit `json:"edits"`
	}
	jsonEdit struct {
		Path string `json:"path"`
		Line int    `json:"line"`
		Text string `json:"text"`
	}
)

func describeCheck(r *preflight.Report) jsonCheck {
	report := jsonCheck{
		Version: checkSchema, Services: []jsonChecked{}, Default: r.Default, Exempt: []jsonExempt{},
		System: jsonSystem{r.System.OpenRC, r.System.Directory, r.System.Patched, describeFound(r.System.Found)},
	}
	for _, s := range r.Services {
		report.Services = append(report.Services, jsonChecked{s.Name, s.Known, s.Netns, s.VRF, s.Lock, s.Makes, describeFound(s.Found)})
	}
	for _, e := range r.Exempt {
		report.Exempt = append(report.Exempt, jsonExempt{e.Service, e.Why})
	}
	return report
}

func describeFound(f preflight.Found) jsonFound {
	found := jsonFound{[]jsonFinding{}, []string{}}
	for _, f := range f.Findings {
		edits := []jsonEdit{}
		for _, e := range f.Remedy.Edits {
			edits = append(edits, jsonEdit(e))
		}
		found.Findings = append(found.Findings, jsonFinding{
			f.ID.Name(), f.Gravity, jsonWhere(f.Where), what(f), why(f), jsonRemedy{do(f), commands(f.Remedy), edits},
		})
	}
	for _, f := range f.Unchecked {
		found.Unchecked = append(found.Unchecked, what(f))
	}
	return found
}

// These are the JSON of status.
type (
	jsonReport struct {
		Version    int             `json:"version"`
		Services   []jsonService   `json:"services"`
		Namespaces []jsonNamespace `json:"namespaces"`
		Unseen     []string        `json:"unseen"`
	}
	jsonService struct {
		Name      string               `json:"name"`
		State     openrc.State         `json:"state"`
		Settings  bool                 `json:"settings_known"`
		Netns     string               `json:"netns"`
		VRF       string               `json:"vrf"`
		Verdict   audit.Verdict        `json:"verdict"`
		Problems  []jsonProblem        `json:"problems"`
		Remedy    string               `json:"remedy"`
		Remarks   []string             `json:"remarks"`
		Processes []jsonServiceProcess `json:"processes"`
	}
	jsonProblem struct {
		Verdict finding.Gravity `json:"verdict"`
		Text    string          `json:"text"`
	}
	jsonProcess struct {
		PID  int    `json:"pid"`
		Name string `json:"name"`
	}
	jsonServiceProcess struct {
		jsonProcess
		Netns    string         `json:"netns"`
		Host     bool           `json:"host"`
		Inode    uint64         `json:"inode"`
		Position audit.Position `json:"position"`
		Claimed  bool           `json:"claimed"`
	}
	jsonNamespace struct {
		Name       string          `json:"name"`
		Inode      uint64          `json:"inode"`
		Sound      bool            `json:"sound"`
		Services   []string        `json:"services"`
		Interfaces []jsonInterface `json:"interfaces"`
		Processes  []jsonProcess   `json:"processes"`
		Published  []jsonPublished `json:"published"`
	}
	jsonPublished struct {
		Network publish.Network `json:"network"`
		Listen  string          `json:"listen"` // an address and a port, or a path
		Target  string          `json:"target"`
	}
	jsonInterface struct {
		Name  string `json:"name"`
		Index int    `json:"index"`
		Kind  string `json:"kind"`
		Up    bool   `json:"up"`
	}
)

func describe(r *audit.Report) jsonReport {
	report := jsonReport{
		Version: statusSchema, Services: []jsonService{}, Namespaces: []jsonNamespace{},
		Unseen: append([]string{}, unseen(r.Unseen)...),
	}
	for i := range r.Services {
		report.Services = append(report.Services, describeService(&r.Services[i]))
	}
	for _, n := range r.Namespaces {
		described := jsonNamespace{
			Name: n.Name, Inode: n.Inode, Sound: n.Err == nil, Services: append([]string{}, n.Services...),
			Interfaces: []jsonInterface{}, Processes: []jsonProcess{}, Published: describePublished(n.Published),
		}
		for _, i := range n.Interfaces {
			described.Interfaces = append(described.Interfaces, jsonInterface(i))
		}
		for _, p := range n.Processes {
			described.Processes = append(described.Processes, jsonProcess{p.PID, p.Name})
		}
		report.Namespaces = append(report.Namespaces, described)
	}
	return report
}

func describePublished(entries []publish.Entry) []jsonPublished {
	described := []jsonPublished{}
	for _, e := range entries {
		listen := e.Path
		if e.Network != publish.Unix {
			listen = e.Listen.String()
		}
		described = append(described, jsonPublished{e.Network, listen, e.Target.String()})
	}
	return described
}

func describeService(s *audit.Service) jsonService {
	described := jsonService{
		Name: s.Name, State: s.State, Settings: s.Settings != nil, Netns: s.Netns, VRF: s.VRF(), Verdict: s.Verdict,
		Problems: []jsonProblem{}, Remedy: oneLine(s.Remedy), Remarks: append([]string{}, remarks(s)...),
		Processes: []jsonServiceProcess{},
	}
	for _, f := range s.Findings {
		described.Problems = append(described.Problems, jsonProblem{f.Gravity, what(f)})
	}
	for _, p := range s.Processes {
		described.Processes = append(described.Processes, jsonServiceProcess{
			jsonProcess{p.PID, p.Name}, p.Netns, p.Host, p.Inode, p.Position, p.Claimed,
		})
	}
	return described
}
