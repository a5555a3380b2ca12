"""Django: an application in one file, its migrations made and run, the ORM, transactions, threads."""

import os
import threading

import django
from django.conf import settings
from django.core.management import call_command

from checks import CLIENTS, environment, expect, run

if "PGHOST" in os.environ:
    parts = environment()
    engine = "postgresql"
    options = {"sslmode": os.environ["PGSSLMODE"], "sslrootcert": os.environ["PGSSLROOTCERT"], "server_side_binding": True}
else:
    parts = {name: os.environ[f"DB_{name.upper()}"] for name in ("host", "port", "user", "password")}
    parts["database"] = os.environ["DB_NAME"]
    engine = "mysql"
    options = {"ssl_mode": "VERIFY_IDENTITY", "ssl": {"ca": os.environ["DB_CA"]}}
settings.configure(
    DATABASES={
        "default": {
            "ENGINE": f"django.db.backends.{engine}",
            "NAME": parts["database"],
            "USER": parts["user"],
            "PASSWORD": parts["password"],
            "HOST": parts["host"],
            "PORT": parts["port"],
            "OPTIONS": options,
        }
    },
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth"],
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    USE_TZ=True,
)
django.setup()

from django.contrib.auth.models import Group, User  # noqa: E402
from django.db import IntegrityError, connection, models, transaction  # noqa: E402
from django.db.models import Count, F, Q  # noqa: E402


class Account(models.Model):
    owner = models.ForeignKey(User, on_delete=models.CASCADE)
    balance = models.DecimalField(max_digits=12, decimal_places=2, default=0)
    notes = models.JSONField(default=dict)
    opened = models.DateTimeField(auto_now_add=True)

    class Meta:
        app_label = "bank"
        constraints = [models.CheckConstraint(condition=Q(balance__gte=0), name="no_debt")]


def migrations_run():
    call_command("migrate", verbosity=0)
    with connection.schema_editor() as editor:
        editor.create_model(Account)
    assert {"auth_user", "auth_group", "django_migrations", "bank_account"} <= set(connection.introspection.table_names())


def the_orm_writes_and_reads():
    group = Group.objects.create(name="clients")
    User.objects.bulk_create([User(username=f"user {n}") for n in range(300)])
    for user in User.objects.all():
        user.groups.add(group)
    assert Group.objects.annotate(size=Count("user")).get().size == 300
    Account.objects.bulk_create([Account(owner=user, balance=100, notes={"n": user.pk}) for user in User.objects.all()])
    first = Account.objects.select_related("owner").order_by("pk").first()
    assert first.owner.username == "user 0" and first.notes == {"n": first.owner.pk}
    assert Account.objects.filter(notes__n__gte=first.owner.pk + 290).count() == 10
    assert Account.objects.filter(pk=first.pk).update(balance=F("balance") + 5) == 1


def transactions_commit_and_roll_back():
    account = Account.objects.order_by("pk").first()

    def overdraw():
        with transaction.atomic():
            locked = Account.objects.select_for_update().get(pk=account.pk)
            locked.owner.delete()
            Account.objects.order_by("-pk").update(balance=F("balance") - 101)

    expect(IntegrityError, overdraw)
    with transaction.atomic():
        Account.objects.filter(pk=account.pk).update(balance=7)

        def debt():
            with transaction.atomic():
                Account.objects.filter(pk=account.pk).update(balance=-1)

        expect(IntegrityError, debt)
    account.refresh_from_db()
    assert account.balance == 7 and Account.objects.count() == 300


def server_side_cursors_iterate():
    assert sum(1 for _ in Account.objects.order_by("pk").iterator(chunk_size=20)) == 300
    with transaction.atomic():
        assert sum(1 for _ in User.objects.iterator(chunk_size=7)) == 300


def threads_share_few_server_connections():
    account = Account.objects.order_by("pk").last()
    Account.objects.filter(pk=account.pk).update(balance=0)
    failures = []

    def work():
        try:
            for _ in range(10):
                with transaction.atomic():
                    locked = Account.objects.select_for_update().get(pk=account.pk)
                    locked.balance += 1
                    locked.save()
        except Exception as error:  # reported by the main thread
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures
    account.refresh_from_db()
    assert account.balance == CLIENTS * 10


run(
    [
        migrations_run,
        the_orm_writes_and_reads,
        transactions_commit_and_roll_back,
        server_side_cursors_iterate,
        threads_share_few_server_connections,
    ]
)
