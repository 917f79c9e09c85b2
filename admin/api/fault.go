package api

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"sidekong/configs/database"
	"sidekong/configs/entity"
)

// Codes of Kong's error objects beside those of package entity. Kong: kong/db/errors.lua ERRORS
const (
	codePrimaryKeyForm = 1
	codeForeignKey     = 4
	codeTaken          = 5
	codeNotFound       = 6
	codeOffset         = 7
	codeSize           = 9
	codeUnsupported    = 12
	codeDeclarative    = 14
	codeReferenced     = 19
)

// refusal is an answer with a message alone.
type refusal struct {
	status int
	text   string
	header http.Header
}

func (e *refusal) Error() string { return e.text }

func refuse(status int, format string, args ...any) *refusal {
	return &refusal{status: status, text: fmt.Sprintf(format, args...)}
}

var (
	errNotFound    = refuse(http.StatusNotFound, "Not found")
	errMethod      = refuse(http.StatusMethodNotAllowed, "Method not allowed")
	errJSON        = refuse(http.StatusBadRequest, "Cannot parse JSON body")
	errArguments   = refuse(http.StatusBadRequest, "Too many arguments")
	errUnavailable = &refusal{
		status: http.StatusServiceUnavailable, text: "The database cannot be reached; try again later",
		header: http.Header{"Retry-After": {"1"}},
	}
)

// errMediaType has nginx's page for its text.
var errMediaType = errors.New("unsupported media type")

const mediaTypePage = page("<html>\r\n<head><title>415 Unsupported Media Type</title></head>\r\n" +
	"<body>\r\n<center><h1>415 Unsupported Media Type</h1></center>\r\n</body>\r\n</html>\r\n")

// statusOf is Kong's status for an error object. Kong: kong/api/endpoints.lua ERRORS_HTTP_CODES
func statusOf(code int) int {
	switch code {
	case codeTaken:
		return http.StatusConflict
	case codeNotFound:
		return http.StatusNotFound
	case codeUnsupported:
		return http.StatusMethodNotAllowed
	}
	return http.StatusBadRequest
}

// faultAnswer is what a client is told of an error.
func faultAnswer(err error) *answer {
	var (
		refused *refusal
		coded   *entity.Error
		config  *configFault
		large   *http.MaxBytesError
		away    = errors.Is(err, database.ErrUnreachable) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
	)
	if fromStore := storeFault(err); fromStore != nil {
		err = fromStore
	}
	switch {
	case errors.As(err, &coded):
		return &answer{status: statusOf(coded.Code), body: coded}
	case errors.As(err, &refused):
		return &answer{status: refused.status, header: refused.header, body: entity.Object{"message": refused.text}}
	case errors.As(err, &config):
		return config.answer()
	case errors.Is(err, errMediaType):
		return &answer{status: http.StatusUnsupportedMediaType, body: mediaTypePage}
	case errors.As(err, &large):
		return message(http.StatusRequestEntityTooLarge, fmt.Sprintf("Request body larger than %d bytes", large.Limit))
	case away:
		return faultAnswer(errUnavailable)
	}
	return message(http.StatusInternalServerError, "An unexpected error occurred")
}

// storeFault is Kong's error object for what the database refuses, nil for other errors. Kong: kong/db/errors.lua
func storeFault(err error) *entity.Error {
	var (
		taken      *database.UniqueError
		reference  *database.ReferenceError
		referenced *database.ReferencedError
		offset     *database.OffsetError
	)
	switch {
	case errors.As(err, &taken) && taken.Fields["id"] != nil:
		return &entity.Error{
			Code: entity.CodePrimaryKey, Name: "primary key violation", Fields: taken.Fields,
			Message: "primary key violation on key '" + keyText(taken.Fields) + "'",
		}
	case errors.As(err, &taken):
		return &entity.Error{
			Code: codeTaken, Name: "unique constraint violation", Fields: taken.Fields,
			Message: "UNIQUE violation detected on '" + keyText(taken.Fields) + "'",
		}
	case errors.As(err, &reference):
		key := entity.Object{"id": reference.ID}
		return &entity.Error{
			Code: codeForeignKey, Name: "foreign key violation", Fields: entity.Object{reference.Field: key},
			Message: "the foreign key '" + keyText(key) + "' does not reference an existing '" + referenceKind(reference.Field) + "' entity.",
		}
	case errors.As(err, &referenced):
		return &entity.Error{
			Code: codeForeignKey, Name: "foreign key violation",
			Message: fmt.Sprintf("an existing '%s' entity references this '%s' entity", referenced.By, referenced.Kind),
			Fields:  entity.Object{"@referenced_by": referenced.By},
		}
	case errors.As(err, &offset):
		return &entity.Error{Code: codeOffset, Name: "invalid offset", Message: offset.Error()}
	}
	return nil
}

// referenceKind is the kind that a reference leads to; all but one are named after it.
func referenceKind(field string) string {
	if field == "client_certificate" {
		return "certificates"
	}
	return field + "s"
}

var luaQuote = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`, "\x00", `\0`)

// keyText writes a key as Kong's messages do: a Lua table in one line, its names sorted.
func keyText(key entity.Object) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(key)) {
		switch value := key[name].(type) {
		case nil:
			parts = append(parts, name+"=null")
		case entity.Object:
			parts = append(parts, name+"="+keyText(value))
		default:
			parts = append(parts, name+`="`+luaQuote.Replace(fmt.Sprint(value))+`"`)
		}
	}
	return "{" + strings.Join(parts, ",") + "}"
}

// missing is what PATCH answers where there is no such entity. Kong: kong/db/errors.lua not_found, not_found_by_unique
func missing(field, value string) *entity.Error {
	key := entity.Object{field: value}
	text := "could not find the entity with '" + keyText(key) + "'"
	if field == "id" {
		text = "could not find the entity with primary key '" + keyText(key) + "'"
	}
	return &entity.Error{Code: codeNotFound, Name: "not found", Message: text, Fields: key}
}

// unsupported is what writes answer where there is no database. field is the one that the entity was addressed by, ""
// being its id. Kong: kong/db/strategies/off/init.lua unsupported
func unsupported(doing, kind, field string) *entity.Error {
	by := ""
	if field != "" {
		by = " by '" + field + "'"
	}
	return &entity.Error{
		Code: codeUnsupported, Name: "operation unsupported",
		Message: "cannot " + doing + " '" + kind + "' entities" + by + " when not using a database",
	}
}

// violation is a schema violation of one field. Kong: kong/db/errors.lua schema_violation
func violation(field, text string) *entity.Error {
	fields, shown := entity.Object{field: text}, field+": "+text
	if field == "@entity" {
		fields, shown = entity.Object{field: []any{text}}, text
	}
	return &entity.Error{
		Code: entity.CodeSchema, Name: "schema violation", Message: "schema violation (" + shown + ")", Fields: fields,
	}
}
