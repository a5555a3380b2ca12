//! How a text is cut into statements.

use super::{MARIADB, MYSQL, classify, touches, verdict};
use crate::sql::mysql::mode::{ClientCharset, Mode};
use crate::sql::mysql::touch::Touch;

#[track_caller]
fn count(text: &str, expected: usize) {
    let verdict = verdict(text);
    assert_eq!(verdict.statements.len(), expected, "{text}: {verdict:?}");
    assert!(!verdict.touches.contains(Touch::Unknown), "{text}");
}

#[test]
fn semicolons_separate() {
    count("select 1", 1);
    count("select 1;", 1);
    count("select 1 ; ; \n", 1);
    count("select 1; select 2", 2);
    count(
        "select ';'; select \";\"; select `;`; select 1 -- ;\n; select 2 # ;",
        5,
    );
    count("select /* ; */ 1", 1);
    count("select 1/*!; select 2*/", 2);
    count("select 1; -- c", 2);
    count("select 1;;select 2", 3);
    count("", 1);
    count(";", 1);
    count("/* c */", 1);
}

#[test]
fn bodies_hold_their_semicolons() {
    for text in [
        "create procedure p() begin select 1; select 2; end",
        "create procedure p() begin select 1; end;",
        "create definer=`a`@`b` procedure p(in a int) comment 'begin' begin if a then select 1; else begin end; end if; end",
        "create function f() returns int deterministic begin declare x int; set x = case when 1 then 2 else 3 end; return x; end",
        "create function f() returns int return 1",
        "create trigger t before insert on u for each row set new.a = 1",
        "create trigger t before insert on u for each row begin set new.a = if(new.b, 1, 2); end",
        "create event e on schedule every 1 day do begin delete from t; end",
        "create procedure p() l: begin declare continue handler for not found begin set @a = 1; end; l2: loop leave l2; end loop l2; end l",
        "create procedure p() begin while 1 do select 1; end while; repeat select 1; until 1 end repeat; case 1 when 1 then select 1; else select 2; end case; end",
        "create procedure p() begin declare exit handler for sqlexception begin rollback; end; start transaction; commit; end",
        "create procedure p() begin select case when 1 then if(1, 2, 3) end; select t.end from t; end",
        "/*!50003 CREATE*/ /*!50017 DEFINER=`r`@`h`*/ /*!50003 TRIGGER t BEFORE INSERT ON u FOR EACH ROW BEGIN SET NEW.a = 1; END */",
        "alter event e do begin select 1; end",
    ] {
        count(text, 1);
        assert_eq!(
            touches(text, MYSQL),
            "schema_objects implicit_commit",
            "{text}"
        );
    }
}

#[test]
fn what_follows_a_body_is_in_doubt() {
    for text in [
        "create procedure p() begin end; set @a = 1",
        "create procedure p() begin select 1 as end; set @a = 1; end",
        "create procedure p() begin select 1;",
        "create trigger t before insert on u for each row if new.a then set new.b = 1; end if",
        "create procedure p() while 1 do select 1; end while",
    ] {
        assert!(verdict(text).touches.contains(Touch::Unknown), "{text}");
    }
    count("create procedure p() select 1; select 2", 2);
    count("create table event (a int); select 2", 2);
    count("create user event@localhost; select 2", 2);
}

#[test]
fn texts_that_are_not_whole_are_in_doubt() {
    for text in [
        "select 'a",
        "select `a",
        "select /* a",
        "select (1",
        "select 1)",
        "select (1; select 2)",
        "/*! select 1",
    ] {
        let verdict = verdict(text);
        assert!(
            !verdict.complete && verdict.touches.contains(Touch::Unknown),
            "{text}"
        );
    }
}

#[test]
fn modes_decide() {
    let text = "select '\\'; set @a = 1; -- '";
    assert_eq!(touches(text, MYSQL), "");
    let plain = Mode {
        no_backslash_escapes: true,
        ..MYSQL
    };
    assert_eq!(touches(text, plain), "user_variable");
    let text = "select \"'\"; set @a = 1; select \"'\"";
    assert_eq!(touches(text, MYSQL), "user_variable");
    let text = "select \"\\\"; set @a = 1; -- \"";
    assert_eq!(touches(text, MYSQL), "");
    let ansi = Mode {
        ansi_quotes: true,
        ..MYSQL
    };
    assert_eq!(touches(text, ansi), "user_variable");
    let text = "select 1 /*M!100100 , get_lock('a', 1) */";
    assert_eq!(touches(text, MYSQL), "");
    assert_eq!(touches(text, MARIADB), "user_lock");
    let gbk = Mode {
        charset: ClientCharset::Treacherous,
        ..MYSQL
    };
    assert_eq!(touches("select 1", gbk), "");
    assert_eq!(touches("select 'é'", gbk), "unknown");
    assert_eq!(touches("select 'é'", MYSQL), "");
    let oracle = Mode {
        oracle: true,
        ..MARIADB
    };
    assert_eq!(touches("select 1", oracle), "unknown");
    // Which would reach somebody else's connection.
    assert!(classify(b"KILL QUERY 7", oracle).kills());
    assert!(classify(b"select 1; kill 7", oracle).kills());
    assert!(classify(b"call p(); select 1", MYSQL).statements[0].many_replies);
}

#[test]
fn a_text_may_change_how_its_rest_is_read() {
    for text in [
        "set sql_mode = 'no_backslash_escapes'; select '\\'; set @a = 1; -- '",
        "set names gbk; select '\u{e9}'",
        "execute s; select \"a\"",
        "set session_track_system_variables = ''; set time_zone = 'SYSTEM'",
    ] {
        assert!(verdict(text).touches.contains(Touch::Unknown), "{text}");
    }
    count("set sql_mode = ''; set names latin1; select 'a'", 3);
    count("select '\\\\'; set sql_mode = ''", 2);
}

#[test]
fn the_probe_for_dollar_quotes_is_harmless() {
    assert_eq!(touches("SELECT $$", MYSQL), "");
}
