package api

import (
	"math"
	"net/http"
	"net/url"
	"strings"

	"sidekong/configs/database"
	"sidekong/configs/entity"
)

// query is the arguments of a URL, each name with its values in order: strings, or true where there was no "=".
type query map[string][]any

func parseQuery(text string) (query, error) {
	arguments, err := parseArguments(text)
	if err != nil {
		return nil, err
	}
	q := query{}
	for _, a := range arguments {
		name := strings.TrimSuffix(a.name, "[]")
		q[name] = append(q[name], a.value)
	}
	return q, nil
}

// first is the first value of an argument, "" where it has none.
func (q query) first(name string) string {
	if values := q[name]; len(values) > 0 {
		text, _ := values[0].(string)
		return text
	}
	return ""
}

// truthy tells whether an argument says yes. Kong: kong/api/routes/config.lua truthy
func truthy(value any) bool {
	switch value := value.(type) {
	case string:
		switch strings.ToLower(value) {
		case "true", "1", "on", "yes":
			return true
		}
	case bool:
		return value
	case float64:
		return value == 1
	}
	return false
}

// Sizes of pages. Kong: kong/api/endpoints.lua extract_options
const (
	pageSize    = 100
	maxPageSize = 1000
	maxTags     = 5
)

func invalidSize(text string) error {
	return &entity.Error{Code: codeSize, Name: "invalid size", Message: text}
}

func invalidTags(text string) error {
	return &entity.Error{
		Code: entity.CodeOptions, Name: "invalid options",
		Message: "invalid option (tags: " + text + ")", Fields: entity.Object{"tags": text},
	}
}

// page reads size, offset and tags. Kong: kong/api/endpoints.lua query_entity, extract_options
func (q query) page(tagged bool) (database.Query, error) {
	page := database.Query{Size: pageSize, Offset: q.first("offset")}
	var tags string
	if values, given := q["tags"]; given && tagged {
		var isText bool
		if tags, isText = values[0].(string); isText && tags == "" {
			return page, invalidTags("cannot be null")
		}
		var known bool
		if page.Tags, page.AnyTag, known = splitTags(tags); !known {
			page.Tags = []string{}
		}
	}
	if sizes, given := q["size"]; given {
		text, _ := sizes[0].(string)
		number, isNumber := luaNumber(text)
		switch {
		case !isNumber || len(sizes) > 1:
			return page, invalidSize("size must be a number")
		case number != math.Floor(number) || number < 1 || number > maxPageSize:
			return page, invalidSize("size must be an integer between 1 and 1000")
		}
		page.Size = int(number)
	}
	switch {
	case page.Tags != nil && len(page.Tags) == 0:
		return page, invalidTags("invalid filter syntax")
	case len(page.Tags) > maxTags:
		return page, invalidTags("cannot query more than 5 tags")
	}
	return page, nil
}

// splitTags reads a,b (all of them) or a/b (one of them); a separator may end it. Kong: TAGS_AND_REGEX, TAGS_OR_REGEX
func splitTags(text string) (tags []string, any, ok bool) {
	separator := ","
	if strings.Contains(text, "/") {
		separator = "/"
	}
	tags = strings.Split(text, separator)
	for i, tag := range tags {
		if tag == "" && (i < len(tags)-1 || i == 0) {
			return nil, false, false
		}
		for j := range len(tag) {
			if c := tag[j]; c < 0x20 || c == ',' || c == '/' || c == 0x7f || c > 0xf4 {
				return nil, false, false
			}
		}
	}
	return tags, separator == "/", true
}

// pageAnswer is a list with where it goes on. kept are the arguments that the next page needs again.
func pageAnswer(data any, path, next string, kept ...string) *answer {
	body := entity.Object{"data": data, "next": nil}
	if next != "" {
		body["offset"] = next
		body["next"] = path + "?offset=" + url.QueryEscape(next) + strings.Join(kept, "")
	}
	return &answer{status: http.StatusOK, body: body}
}

// kept writes the arguments that a top-level list hands on to its next page.
func (q query) kept() []string {
	var kept []string
	if tags := q.first("tags"); tags != "" {
		kept = append(kept, "&tags="+url.QueryEscape(tags))
	}
	if size := q.first("size"); size != "" {
		kept = append(kept, "&size="+url.QueryEscape(size))
	}
	return kept
}
