package preflight

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"openrc-netns/internal/finding"
	"openrc-netns/internal/mounts"
	"openrc-netns/internal/namespace"
)

// checkEtc looks at the files that are to stand in for those of /etc.
func (s *serviceCheck) checkEtc() {
	name := s.etcName()
	if name == "" {
		return
	}
	binds, err := mounts.EtcEntries(name)
	dir := filepath.Join(mounts.EtcDir, name)
	// Only the directory itself is repaired by making it anew.
	failed := (*fs.PathError)(nil)
	if errors.Is(err, fs.ErrPermission) || errors.As(err, &failed) && failed.Path != dir {
		s.unchecked(finding.UncheckedError, err)
		return
	}
	if err != nil {
		s.add(finding.EtcUnreadable, finding.Fails, finding.Where{Path: dir}, finding.Run("rm", dir).Run("mkdir", dir), err)
		return
	}
	for _, bind := range binds {
		if err := bind.Check(); err != nil {
			s.bindFails(bind, err)
		}
	}
	// The service of the namespace makes it before this one is started.
	made := mounts.ResolvConf(name)
	if target := "/etc/" + filepath.Base(made); !exists(target) && !exists(made) && s.etcFile(filepath.Base(made)) == made {
		s.bindFails(mounts.Bind{Source: made, Target: target}, fmt.Errorf("cannot bind %q over %q, which does not exist", made, target))
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// etcName is the directory below /etc/netns that the service sees in /etc;
// empty if it sees none.
func (s *serviceCheck) etcName() string {
	if !s.settings.BindsEtc() || namespace.CheckName(s.settings.Netns) != nil {
		return ""
	}
	return namespace.BaseName(s.settings.Netns)
}

func (s *serviceCheck) bindFails(bind mounts.Bind, err error) {
	what, _, _ := strings.Cut(err.Error(), "; ")
	source, sourceErr := os.Stat(bind.Source)
	target, targetErr := os.Stat(bind.Target)
	id, remedy, args := finding.EtcTargetUnusable, finding.Run("rm", "-r", bind.Source), []any{what}
	made := bind.Source == mounts.ResolvConf(s.etcName())
	switch {
	case sourceErr != nil && !made:
		id, remedy = finding.EtcSource, finding.Run("rm", bind.Source)
	case errors.Is(targetErr, fs.ErrNotExist):
		id, remedy, args = finding.EtcTargetMissing, finding.Remedy{}, append(args, bind.Source)
		if made {
			id = finding.EtcTargetMissingMade
		}
		if _, err := os.Lstat(bind.Target); err == nil { // a link to nowhere
			remedy = remedy.Run("rm", bind.Target)
		}
		create := "touch"
		if sourceErr == nil && source.IsDir() {
			create = "mkdir"
		}
		remedy = remedy.Run(create, bind.Target)
	case targetErr == nil && source.IsDir() != target.IsDir():
		id, remedy = finding.EtcKind, finding.Run("mv", bind.Source, fmt.Sprintf("/root/%s.%s", s.etcName(), filepath.Base(bind.Source)))
	}
	s.add(id, finding.Fails, finding.Where{Path: bind.Source}, remedy, args...)
}
