package preflight

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"openrc-netns/internal/mounts"
)

// lookAtHidden looks at the paths in netns_hide.
func (s *subject) lookAtHidden() {
	var good []string
	type fault struct{ id, what string }
	var faults []fault
	for _, path := range strings.Fields(s.settings.Hide) {
		_, err := mounts.Hidden([]string{path})
		switch {
		case err == nil:
			good = append(good, path)
			continue
		case errors.Is(err, fs.ErrPermission):
			s.Unchecked = append(s.Unchecked, err.Error())
			good = append(good, path)
			continue
		case filepath.IsAbs(path):
			faults = append(faults, fault{"hide-missing", err.Error()})
			continue
		}
		faults = append(faults, fault{"hide-relative", err.Error()})
		if _, err := os.Stat("/" + path); err == nil {
			good = append(good, "/"+path)
		}
	}
	for _, f := range faults {
		s.add(f.id, Fails, s.from["netns_hide"], f.what,
			"what cannot be hidden would be seen, so the service does not start",
			s.edit("keep those that are there; or start first what makes the others", "netns_hide", strings.Join(good, " ")))
	}
}

// hides reports whether netns_hide covers path.
func (s *subject) hides(path string) bool {
	path = resolved(path)
	for _, hidden := range strings.Fields(s.settings.Hide) {
		if hidden = resolved(hidden); path == hidden || strings.HasPrefix(path, hidden+"/") {
			return true
		}
	}
	return false
}

func resolved(path string) string {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		return target
	}
	return filepath.Clean(path)
}

// hide is the remedy of one path more in netns_hide.
func (s *subject) hide(path string) Remedy {
	if _, set := s.from["netns_hide"]; set {
		return s.edit("hide it", "netns_hide", strings.TrimSpace(s.settings.Hide+" "+path))
	}
	return run("hide it", fmt.Sprintf("echo 'netns_hide=\"%s\"' >>%s", path, filepath.Join(confDir, s.Name)))
}
