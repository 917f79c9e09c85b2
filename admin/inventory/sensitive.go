package inventory

import (
	"slices"
	"strings"
)

// delicate says by which words in a name one knows what is sensitive.
var delicate = []struct {
	what  string
	parts []string // anywhere in the name's letters
	words []string // as a word of the name
}{
	{"credential", []string{"password", "passwd", "passphrase", "secret", "token", "apikey", "accesskey", "privatekey", "authorization", "credential", "sessionid"}, []string{"pwd", "pin", "otp", "cvv", "cvc", "auth", "jwt", "session"}},
	{"e-mail address", []string{"email"}, []string{"mail"}},
	{"telephone number", []string{"phone", "telephone"}, []string{"tel", "mobile", "fax"}},
	{"payment data", []string{"creditcard", "cardnumber", "bankaccount", "accountnumber"}, []string{"iban", "bic", "pan", "card"}},
	{"identity number", []string{"socialsecurity", "passport", "nationalid", "taxid", "driverlicense"}, []string{"ssn"}},
	{"name of a person", []string{"firstname", "lastname", "fullname", "surname", "givenname", "familyname"}, nil},
	{"date of birth", []string{"birthdate", "dateofbirth", "birthday"}, []string{"dob", "birth", "born"}},
	{"postal address", []string{"street", "postalcode", "zipcode", "postcode"}, []string{"zip"}},
	{"location", []string{"latitude", "longitude"}, []string{"lat", "lng", "lon"}},
	{"address of a computer", []string{"ipaddress", "clientip", "remoteaddr"}, []string{"ip"}},
}

// sensitiveName tells what a name says of its values, "" for nothing.
func sensitiveName(name string) string {
	var words []string
	var letters strings.Builder
	start := true
	for i := range len(name) {
		c := name[i]
		capital := c-'A' < 26
		switch {
		case !capital && c-'a' >= 26 && c-'0' >= 10:
			start = true
			continue
		case capital && i > 0 && name[i-1]-'a' < 26:
			start = true
		}
		if capital {
			c |= 0x20
		}
		if start {
			words = append(words, "")
			start = false
		}
		words[len(words)-1] += string(c)
		letters.WriteByte(c)
	}
	for _, d := range delicate {
		if slices.ContainsFunc(d.parts, func(part string) bool { return strings.Contains(letters.String(), part) }) ||
			slices.ContainsFunc(d.words, func(word string) bool { return slices.Contains(words, word) }) {
			return d.what
		}
	}
	return ""
}

// sensitive tells why the values of a shape are sensitive, by their name and by what they are, "" if they are not.
func (s *shape) sensitive(name string) string {
	if s.masked > 0 {
		return "masked"
	}
	if s.objects+s.partly+s.arrays > 0 || s.bools == s.seen && s.seen > 0 {
		return "" // what is in it may be
	}
	if what := sensitiveName(name); what != "" {
		return what
	}
	switch s.format {
	case "email":
		return "e-mail address"
	case "ipv4", "ipv6":
		return "address of a computer"
	}
	return ""
}

// marks lists what is sensitive in a schema, by its place.
func (s *Schema) marks(place string, add func(place, what string)) {
	if s == nil {
		return
	}
	if s.Sensitive != "" {
		add(place, s.Sensitive)
	}
	join := func(name string) string {
		if place == "" {
			return name
		}
		return place + "." + name
	}
	for _, name := range sortedKeys(s.Properties) {
		s.Properties[name].marks(join(name), add)
	}
	s.AdditionalProperties.marks(join("*"), add)
	s.Items.marks(place+"[]", add)
}
