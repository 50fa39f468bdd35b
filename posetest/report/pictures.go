package report

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"html/template"
	"strings"
	"sync"

	goldens "github.com/posetest/suite/posetest/golden"
	"github.com/posetest/suite/posetest/observe"
	"github.com/posetest/suite/posetest/pose"
)

// A picture shows fp32's and a precision's skeletons over a photograph.
type picture struct {
	Name, Alt, Caption, Credit string
	Href                       string // of the cell
	URI                        template.URL
}

// What a page's pictures may take.
const (
	maxPictures     = 16
	maxPictureBytes = 1 << 20 // of JPEG, all together
	pictureSide     = 640
)

// A sight is what a picture is made of.
type sight struct {
	result     Result
	want, got  observe.Photo
	photograph *pose.Image
	credit     string
}

// pictures are one a model and INT8 precision, in the newest runtime of the first provider that runs it: of the photograph
// in which it does worst, of those that may be shown to anybody.
func (p Page) pictures(href func(Result) string) ([]picture, error) {
	if p.Photograph == nil {
		return nil, nil
	}
	base := byPlace(p.Results)
	type key struct{ model, precision string }
	taken := map[key]bool{}
	photographs := map[string]sight{}
	var sights []sight
	for _, r := range newest(p.timed()) {
		fp32, known := base[r.place().fp32()]
		k := key{r.Model, r.Precision}
		if !known || !strings.Contains(r.Precision, "int8") || taken[k] || len(sights) == maxPictures {
			continue
		}
		shown := sight{result: r}
		worst := 2.0
		for i, got := range r.asked() {
			want := fp32.asked()
			if i >= len(want) || want[i].Fixture != got.Fixture {
				break
			}
			if alike := likeness(got.Persons, want[i].Persons); alike < worst {
				s, known := photographs[got.Fixture]
				if !known {
					s.photograph, s.credit = p.Photograph(got.Fixture, got.SHA256)
					photographs[got.Fixture] = s
				}
				if s.photograph != nil {
					worst, shown.want, shown.got, shown.photograph, shown.credit = alike, want[i], got, s.photograph, s.credit
				}
			}
		}
		if shown.photograph != nil {
			taken[k] = true
			sights = append(sights, shown)
		}
	}
	files := make([][]byte, len(sights))
	errs := make([]error, len(sights))
	var all sync.WaitGroup
	for i, s := range sights {
		all.Go(func() { files[i], errs[i] = s.jpeg() })
	}
	all.Wait()
	var pictures []picture
	size := 0
	for i, s := range sights {
		if errs[i] != nil {
			return nil, errs[i]
		}
		if size += len(files[i]); size > maxPictureBytes {
			break
		}
		r := s.result
		pictures = append(pictures, picture{
			Name:    r.Model + " " + r.Precision,
			Alt:     fmt.Sprintf("Skeletons of fp32 and %s over the photograph %s: fp32 finds %d persons, %s %d", r.Precision, s.got.Fixture, len(s.want.Persons), r.Precision, len(s.got.Persons)),
			Caption: fmt.Sprintf("%s on %s@%s, photograph %s: the one of %d in which it is least like fp32.", r.Class, r.Provider, r.ORT, s.got.Fixture, len(r.asked())),
			Credit:  s.credit, Href: href(r), URI: template.URL("data:image/jpeg;base64," + base64.StdEncoding.EncodeToString(files[i])),
		})
	}
	return pictures, nil
}

func (s sight) jpeg() ([]byte, error) {
	got := s.got.Persons
	name := s.result.Precision
	if len(got) == 0 && s.got.Candidate != nil {
		got, name = []pose.Person{*s.got.Candidate}, name+", below the confidence"
	}
	var b bytes.Buffer
	err := Overlay{Photo: s.photograph, Want: s.want.Persons, Got: got, WantName: "fp32", GotName: name, Side: pictureSide}.JPEG(&b)
	return b.Bytes(), err
}

// likeness is how much persons are those wanted, 0…1: the OKS of all that are matched over the number of all.
func likeness(got, want []pose.Person) float64 {
	if len(got)+len(want) == 0 {
		return 1
	}
	pairs := goldens.Match(got, want)
	sum := 0.0
	for _, pair := range pairs {
		sum += pair.OKS
	}
	return sum / float64(len(got)+len(want)-len(pairs))
}
