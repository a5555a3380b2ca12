"""Traffic of one kind of application on MySQL: CLIENTS connections open at once, each of them used for requests in turn.

The caller looks at the proxy's metrics while the program waits, after its last request, for a line on standard input.
"""

import sys
import threading
import warnings

import pymysql

from checks import CLIENTS
from mysql_checks import CA, DATABASE, HOST, PASSWORD, PORT, USER, one

REQUESTS = 8
# SQL_CALC_FOUND_ROWS is deprecated.
warnings.simplefilter("ignore")


def in_threads(connect, work):
    """`work(session, client, request)` in as many threads as there are clients; all keep their connections to the end."""
    failures = []
    everyone = threading.Barrier(CLIENTS + 1)

    def guarded(client):
        try:
            session = connect()
            for request in range(REQUESTS):
                work(session, client, request)
        except Exception as error:  # reported below
            failures.append(error)
        everyone.wait(120)
        everyone.wait(120)

    threads = [threading.Thread(target=guarded, args=(client,)) for client in range(CLIENTS)]
    for thread in threads:
        thread.start()
    everyone.wait(120)
    print("done", flush=True)
    sys.stdin.readline()
    everyone.wait(120)
    for thread in threads:
        thread.join()
    assert not failures, failures


def plain(autocommit=True, **options):
    return pymysql.connect(
        host=HOST, port=PORT, user=USER, password=PASSWORD, database=DATABASE, charset="utf8mb4", ssl_ca=CA,
        ssl_verify_cert=True, ssl_verify_identity=True, autocommit=autocommit, **options,
    )


def table(definition):
    connection = plain()
    connection.cursor().execute(definition)
    connection.close()


def run(cursor, *query):
    cursor.execute(*query)
    return list(cursor.fetchall())


def sqlalchemy():
    from sqlalchemy import URL, String, create_engine, select, text
    from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

    class Base(DeclarativeBase):
        pass

    class Note(Base):
        __tablename__ = "note"
        id: Mapped[int] = mapped_column(primary_key=True)
        client: Mapped[int]
        words: Mapped[str] = mapped_column(String(40))

    url = URL.create("mysql+pymysql", USER, PASSWORD, HOST, PORT, DATABASE, {"charset": "utf8mb4"})
    tls = {"ssl_ca": CA, "ssl_verify_cert": True, "ssl_verify_identity": True}
    engine = create_engine(url, connect_args=tls, pool_size=CLIENTS, isolation_level="READ COMMITTED", pool_pre_ping=True)
    Base.metadata.create_all(engine)

    def work(connection, client, request):
        with Session(connection) as session:
            session.add(Note(client=client, words=f"request {request}"))
            session.commit()
            notes = session.scalars(select(Note).where(Note.client == client).order_by(Note.id)).all()
            assert [note.words for note in notes] == [f"request {n}" for n in range(request + 1)]
            assert session.scalar(text("select @@transaction_isolation")) == "READ-COMMITTED"
            session.rollback()

    in_threads(engine.connect, work)


def django():
    import django
    from django.conf import settings

    settings.configure(
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.mysql",
                "NAME": DATABASE,
                "USER": USER,
                "PASSWORD": PASSWORD,
                "HOST": HOST,
                "PORT": PORT,
                "CONN_MAX_AGE": None,
                "CONN_HEALTH_CHECKS": True,
                "OPTIONS": {"ssl_mode": "VERIFY_IDENTITY", "ssl": {"ca": CA}, "isolation_level": "repeatable read"},
            }
        },
        USE_TZ=True,
        INSTALLED_APPS=[],
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    )
    django.setup()

    from django.db import connection, models, transaction

    class Note(models.Model):
        # Without an index, updates of all clients would wait for one another, and deadlock.
        client = models.IntegerField(db_index=True)
        words = models.TextField()
        at = models.DateTimeField(auto_now_add=True)

        class Meta:
            app_label = "notes"

    with connection.schema_editor() as editor:
        editor.create_model(Note)
    connection.close()

    def work(_, client, request):
        with transaction.atomic():
            Note.objects.create(client=client, words=f"request {request}")
            with transaction.atomic():
                Note.objects.filter(client=client, words="request 0").update(words="first")
            assert len(list(Note.objects.filter(client=client).iterator())) == request + 1
        assert Note.objects.filter(client=client).count() == request + 1
        Note.objects.bulk_create([], ignore_conflicts=True)

    in_threads(lambda: None, work)


def laravel():
    """PDO as Laravel sets it up: settings one by one, and each query prepared, executed and closed."""
    import mysql.connector

    table("create table users (id bigint unsigned auto_increment primary key, email varchar(100) unique, client int, key (client), created_at timestamp null)")
    modes = "ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION"

    def connect():
        connection = mysql.connector.connect(
            host=HOST, port=PORT, user=USER, password=PASSWORD, database=DATABASE, ssl_ca=CA, ssl_verify_cert=True,
            ssl_verify_identity=True, autocommit=True, use_pure=True, charset="utf8mb4", collation="utf8mb4_unicode_ci",
        )
        cursor = connection.cursor()
        for text in [
            f"use `{DATABASE}`", "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
            "set names 'utf8mb4' collate 'utf8mb4_unicode_ci'", "set time_zone='+02:00'", f"set session sql_mode='{modes}'",
        ]:
            cursor.execute(text)
        return connection

    def prepared(connection, query, values):
        cursor = connection.cursor(prepared=True)
        cursor.execute(query, values)
        rows = list(cursor.fetchall()) if cursor.description else []
        number = cursor.lastrowid
        cursor.close()
        return rows or number

    def work(connection, client, request):
        cursor = connection.cursor()
        email = f"{client}.{request}@example.com"
        cursor.execute("START TRANSACTION")
        number = prepared(connection, "insert into `users` (`email`, `client`, `created_at`) values (%s, %s, now())", (email, client))
        cursor.execute("SAVEPOINT trans2")
        prepared(connection, "update `users` set `email` = %s where `id` = %s", (f"x{number}", number))
        cursor.execute("ROLLBACK TO SAVEPOINT trans2")
        cursor.execute("COMMIT")
        rows = prepared(connection, "select `id`, `email`, @@time_zone from `users` where `client` = %s order by `id` desc limit 1", (client,))
        assert rows == [(number, email, "+02:00")], rows
        rows = prepared(connection, "select count(*) as aggregate from `users` where `client` = %s", (client,))
        assert rows == [(request + 1,)], rows

    in_threads(connect, work)


def rails():
    """Active Record's mysql2 and trilogy adapters."""
    table("create table posts (id bigint auto_increment primary key, title varchar(100), client int, key (client), lock_version int default 0)")
    configure = (
        "SET @@SESSION.sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO'), "
        "@@SESSION.sql_auto_is_null = 0, @@SESSION.wait_timeout = 2147483"
    )

    def connect():
        connection = plain()
        cursor = connection.cursor()
        run(cursor, "SET NAMES utf8mb4")
        run(cursor, configure)
        run(cursor, "SELECT VERSION()")
        run(cursor, "SHOW FULL FIELDS FROM `posts`")
        run(cursor, "SHOW KEYS FROM `posts`")
        run(cursor, "SELECT column_name FROM information_schema.statistics WHERE index_name = 'PRIMARY' AND table_schema = database() AND table_name = 'posts'")
        return connection

    def work(connection, client, request):
        cursor = connection.cursor()
        run(cursor, "BEGIN")
        run(cursor, "SAVEPOINT active_record_1")
        run(cursor, "INSERT INTO `posts` (`title`, `client`) VALUES (%s, %s)", (f"title {request}", client))
        number = cursor.lastrowid
        run(cursor, "RELEASE SAVEPOINT active_record_1")
        run(cursor, "COMMIT")
        run(cursor, "UPDATE `posts` SET `title` = 'changed', `lock_version` = 1 WHERE `posts`.`id` = %s AND `lock_version` = 0", (number,))
        assert cursor.rowcount == 1
        assert one(cursor, "SELECT `posts`.`title` FROM `posts` WHERE `posts`.`id` = %s LIMIT 1", (number,)) == "changed"
        assert one(cursor, "SELECT 1 AS one FROM `posts` WHERE `posts`.`client` = %s LIMIT 1", (client,)) == 1
        assert "STRICT_ALL_TABLES" in one(cursor, "SELECT @@SESSION.sql_mode")
        connection.ping(reconnect=False)

    in_threads(connect, work)


def hibernate():
    """Connector/J below HikariCP and Hibernate: autocommit, isolation and read-only switched around each transaction."""
    table("create table account (id bigint auto_increment primary key, owner int, balance decimal(12, 2) not null, key (owner))")
    ask = (
        "/* mysql-connector-j-8.4.0 (Revision: 1c3f5c149e0bfe31c7fbeb24e2d260cd890972c4) */SELECT  "
        "@@session.auto_increment_increment AS auto_increment_increment, @@character_set_client AS character_set_client, "
        "@@character_set_connection AS character_set_connection, @@character_set_results AS character_set_results, "
        "@@character_set_server AS character_set_server, @@collation_server AS collation_server, "
        "@@collation_connection AS collation_connection, @@init_connect AS init_connect, @@interactive_timeout AS interactive_timeout, "
        "@@license AS license, @@lower_case_table_names AS lower_case_table_names, @@max_allowed_packet AS max_allowed_packet, "
        "@@net_write_timeout AS net_write_timeout, @@performance_schema AS performance_schema, @@sql_mode AS sql_mode, "
        "@@system_time_zone AS system_time_zone, @@time_zone AS time_zone, @@transaction_isolation AS transaction_isolation, "
        "@@wait_timeout AS wait_timeout"
    )

    def connect():
        connection = plain()
        cursor = connection.cursor()
        for text in [ask, "SET NAMES utf8mb4", "SET character_set_results = NULL", "SET autocommit=1", "SET sql_mode='STRICT_TRANS_TABLES'"]:
            run(cursor, text)
        run(cursor, "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        run(cursor, "/* ping */ SELECT 1")
        return connection

    def work(connection, client, request):
        cursor = connection.cursor()
        run(cursor, "SET autocommit=0")
        run(cursor, "insert into account (balance, owner) values (%s, %s)", (100, client))
        number = cursor.lastrowid
        run(cursor, "select a1_0.id,a1_0.balance from account a1_0 where a1_0.id=%s for update", (number,))
        run(cursor, "update account set balance=balance+%s where id=%s", (request, number))
        run(cursor, "COMMIT")
        run(cursor, "SET autocommit=1")
        run(cursor, "SET SESSION TRANSACTION READ ONLY")
        run(cursor, "SET autocommit=0")
        rows = run(cursor, "select count(*),cast(max(a1_0.balance) as signed) from account a1_0 where a1_0.owner=%s", (client,))
        assert rows == [(request + 1, 100 + request)], rows
        run(cursor, "ROLLBACK")
        run(cursor, "SET autocommit=1")
        run(cursor, "SET SESSION TRANSACTION READ WRITE")
        assert one(cursor, "SELECT @@session.transaction_read_only") == 0
        assert one(cursor, "SELECT cast(@@session.transaction_isolation as char)") == "READ-COMMITTED"

    in_threads(connect, work)


def wordpress():
    """wpdb: names with a collation, modes cut down, pages with SQL_CALC_FOUND_ROWS, options and transients."""
    table("create table wp_posts (ID bigint unsigned auto_increment primary key, post_author int, key (post_author), post_title text, post_status varchar(20))")
    table("create table wp_options (option_id bigint unsigned auto_increment primary key, option_name varchar(191) unique, option_value longtext, autoload varchar(20))")

    def connect():
        connection = plain()
        cursor = connection.cursor()
        run(cursor, "SET NAMES 'utf8mb4' COLLATE 'utf8mb4_unicode_520_ci'")
        run(cursor, "SELECT @@SESSION.sql_mode")
        run(cursor, "SET SESSION sql_mode='NO_ENGINE_SUBSTITUTION'")
        run(cursor, "SELECT option_name, option_value FROM wp_options WHERE autoload IN ( 'yes', 'on', 'auto-on', 'auto' )")
        return connection

    def work(connection, client, request):
        cursor = connection.cursor()
        run(
            cursor,
            "INSERT INTO `wp_options` (`option_name`, `option_value`, `autoload`) VALUES (%s, %s, 'no') ON DUPLICATE KEY UPDATE "
            "`option_name` = VALUES(`option_name`), `option_value` = VALUES(`option_value`), `autoload` = VALUES(`autoload`)",
            (f"_transient_{client}", f"a:1:{{i:{request};s:4:\"it's\";}}"),
        )
        run(cursor, "INSERT INTO `wp_posts` (`post_author`, `post_title`, `post_status`) VALUES (%s, 'Hello', 'publish')", (client,))
        number = cursor.lastrowid
        page = run(
            cursor,
            "SELECT SQL_CALC_FOUND_ROWS  wp_posts.ID FROM wp_posts  WHERE 1=1  AND wp_posts.post_author = %s AND "
            "wp_posts.post_status = 'publish' ORDER BY wp_posts.ID DESC LIMIT 0, 1",
            (client,),
        )
        assert page == [(number,)], page
        assert one(cursor, "SELECT FOUND_ROWS()") == request + 1
        run(cursor, "SELECT wp_posts.* FROM wp_posts WHERE ID IN (%s)", (number,))
        assert one(cursor, "SELECT option_value FROM wp_options WHERE option_name = %s LIMIT 1", (f"_transient_{client}",)).endswith("it's\";}")
        run(cursor, "DELETE FROM wp_options WHERE option_name = 'nothing'")
        run(cursor, "DESCRIBE wp_posts")
        assert one(cursor, "SELECT @@collation_connection") == "utf8mb4_unicode_520_ci"

    in_threads(connect, work)


{"sqlalchemy": sqlalchemy, "django": django, "laravel": laravel, "rails": rails, "hibernate": hibernate, "wordpress": wordpress}[sys.argv[1]]()
