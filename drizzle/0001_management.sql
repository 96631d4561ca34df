CREATE TABLE "postern"."audit_events" (
	"platform" text COLLATE "C" DEFAULT postern.scope_platform() NOT NULL,
	"id" text COLLATE "C" DEFAULT 'evt_' || replace(gen_random_uuid()::text, '-', '') NOT NULL,
	"at" timestamp with time zone DEFAULT now() NOT NULL,
	"action" text COLLATE "C" NOT NULL,
	"actor_kind" text COLLATE "C" NOT NULL,
	"actor_id" text COLLATE "C" NOT NULL,
	"address" text COLLATE "C",
	"request_id" text COLLATE "C",
	"resource_kind" text COLLATE "C" NOT NULL,
	"resource_id" text COLLATE "C" NOT NULL,
	"changes" jsonb DEFAULT '{}'::jsonb NOT NULL,
	CONSTRAINT "audit_events_platform_id_pk" PRIMARY KEY("platform","id")
);
--> statement-breakpoint
ALTER TABLE "postern"."audit_events" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
CREATE TABLE "postern"."idempotency_keys" (
	"platform" text COLLATE "C" DEFAULT postern.scope_platform() NOT NULL,
	"id" text COLLATE "C" NOT NULL,
	"digest" "bytea" NOT NULL,
	"claim" text COLLATE "C" NOT NULL,
	"state" text COLLATE "C" DEFAULT 'in_progress' NOT NULL,
	"status" integer,
	"body" text COLLATE "C",
	"sealed" "bytea",
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"expires_at" timestamp with time zone NOT NULL,
	CONSTRAINT "idempotency_keys_platform_id_pk" PRIMARY KEY("platform","id"),
	CONSTRAINT "idempotency_keys_state" CHECK ("postern"."idempotency_keys"."state" in ('in_progress', 'done'))
);
--> statement-breakpoint
ALTER TABLE "postern"."idempotency_keys" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
CREATE TABLE "postern"."usage_batches" (
	"platform" text COLLATE "C" DEFAULT postern.scope_platform() NOT NULL,
	"id" text COLLATE "C" NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "usage_batches_platform_id_pk" PRIMARY KEY("platform","id")
);
--> statement-breakpoint
ALTER TABLE "postern"."usage_batches" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
CREATE TABLE "postern"."usage_days" (
	"platform" text COLLATE "C" DEFAULT postern.scope_platform() NOT NULL,
	"key_id" text COLLATE "C" NOT NULL,
	"day" date NOT NULL,
	"environment" text COLLATE "C" NOT NULL,
	"billable" boolean NOT NULL,
	"requests" bigint DEFAULT 0 NOT NULL,
	"errors" bigint DEFAULT 0 NOT NULL,
	"bytes_in" bigint DEFAULT 0 NOT NULL,
	"bytes_out" bigint DEFAULT 0 NOT NULL,
	"last_used_at" timestamp with time zone NOT NULL,
	"last_address" text COLLATE "C",
	"last_origin" text COLLATE "C",
	CONSTRAINT "usage_days_platform_key_id_day_pk" PRIMARY KEY("platform","key_id","day"),
	CONSTRAINT "usage_days_billable" CHECK ("postern"."usage_days"."billable" = ("postern"."usage_days"."environment" = 'live')),
	CONSTRAINT "usage_days_counts" CHECK (least("postern"."usage_days"."requests", "postern"."usage_days"."errors", "postern"."usage_days"."bytes_in", "postern"."usage_days"."bytes_out") >= 0)
);
--> statement-breakpoint
ALTER TABLE "postern"."usage_days" ENABLE ROW LEVEL SECURITY;--> statement-breakpoint
ALTER TABLE "postern"."api_key_secrets" ADD COLUMN "first_used_at" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "postern"."api_key_secrets" ADD COLUMN "last_used_at" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "postern"."api_key_secrets" ADD COLUMN "last_used_from" text COLLATE "C";--> statement-breakpoint
ALTER TABLE "postern"."api_key_secrets" ADD COLUMN "superseded_by" text COLLATE "C";--> statement-breakpoint
ALTER TABLE "postern"."api_key_secrets" ADD COLUMN "overlap_seconds" integer;--> statement-breakpoint
ALTER TABLE "postern"."api_key_secrets" ADD COLUMN "overlap_from" text COLLATE "C";--> statement-breakpoint
ALTER TABLE "postern"."api_key_secrets" ADD COLUMN "quiet_seconds" integer;--> statement-breakpoint
ALTER TABLE "postern"."api_key_secrets" ADD COLUMN "due_noted_at" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "postern"."api_keys" ADD COLUMN "version" integer DEFAULT 1 NOT NULL;--> statement-breakpoint
ALTER TABLE "postern"."api_keys" ADD COLUMN "created_by" jsonb;--> statement-breakpoint
ALTER TABLE "postern"."tenants" ADD COLUMN "version" integer DEFAULT 1 NOT NULL;--> statement-breakpoint
ALTER TABLE "postern"."usage_days" ADD CONSTRAINT "usage_days_platform_key_id_api_keys_platform_id_fk" FOREIGN KEY ("platform","key_id") REFERENCES "postern"."api_keys"("platform","id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "audit_events_at" ON "postern"."audit_events" USING btree ("platform","at","id");--> statement-breakpoint
CREATE INDEX "audit_events_resource" ON "postern"."audit_events" USING btree ("platform","resource_id","at","id");--> statement-breakpoint
CREATE INDEX "audit_events_actor" ON "postern"."audit_events" USING btree ("platform","actor_id","at","id");--> statement-breakpoint
CREATE INDEX "idempotency_keys_expires" ON "postern"."idempotency_keys" USING btree ("platform","expires_at");--> statement-breakpoint
CREATE INDEX "idempotency_keys_sealed" ON "postern"."idempotency_keys" USING btree ("platform","created_at") WHERE "postern"."idempotency_keys"."sealed" is not null;--> statement-breakpoint
CREATE INDEX "usage_batches_created" ON "postern"."usage_batches" USING btree ("platform","created_at");--> statement-breakpoint
CREATE INDEX "api_key_secrets_superseded" ON "postern"."api_key_secrets" USING btree ("platform","key_id") WHERE "postern"."api_key_secrets"."superseded_by" is not null;--> statement-breakpoint
CREATE INDEX "api_key_secrets_quiet" ON "postern"."api_key_secrets" USING btree ("platform","expires_at") WHERE "postern"."api_key_secrets"."quiet_seconds" is not null;--> statement-breakpoint
CREATE INDEX "api_key_secrets_due" ON "postern"."api_key_secrets" USING btree ("platform","created_at") WHERE "postern"."api_key_secrets"."superseded_by" is null and "postern"."api_key_secrets"."due_noted_at" is null;--> statement-breakpoint
CREATE INDEX "api_keys_created" ON "postern"."api_keys" USING btree ("platform","created_at","id");--> statement-breakpoint
CREATE INDEX "api_keys_name" ON "postern"."api_keys" USING btree ("platform","name");--> statement-breakpoint
CREATE INDEX "api_keys_origins" ON "postern"."api_keys" USING gin ((jsonb_set('{}', array["platform"], "restrictions" -> 'origins')) jsonb_path_ops) WHERE "postern"."api_keys"."revoked_at" is null and jsonb_typeof("postern"."api_keys"."restrictions" -> 'origins') = 'array';--> statement-breakpoint
CREATE INDEX "tenants_created" ON "postern"."tenants" USING btree ("platform","created_at","id");--> statement-breakpoint
ALTER TABLE "postern"."api_key_secrets" ADD CONSTRAINT "api_key_secrets_overlap_from" CHECK ("postern"."api_key_secrets"."overlap_from" in ('first_use', 'now'));--> statement-breakpoint
CREATE POLICY "hold" ON "postern"."api_keys" AS PERMISSIVE FOR UPDATE TO "postern_lookup" USING (true) WITH CHECK (false);--> statement-breakpoint
CREATE POLICY "platform_log" ON "postern"."audit_events" AS PERMISSIVE FOR ALL TO "postern_gateway" USING ((platform) = (select postern.scope_platform())) WITH CHECK ((platform) = (select postern.scope_platform()));--> statement-breakpoint
CREATE POLICY "platform_passing" ON "postern"."idempotency_keys" AS PERMISSIVE FOR ALL TO "postern_gateway" USING ((platform) = (select postern.scope_platform())) WITH CHECK ((platform) = (select postern.scope_platform()));--> statement-breakpoint
CREATE POLICY "platform_passing" ON "postern"."usage_batches" AS PERMISSIVE FOR ALL TO "postern_gateway" USING ((platform) = (select postern.scope_platform())) WITH CHECK ((platform) = (select postern.scope_platform()));--> statement-breakpoint
CREATE POLICY "platform_scope" ON "postern"."usage_days" AS PERMISSIVE FOR ALL TO "postern_gateway" USING ((platform) = (select postern.scope_platform())) WITH CHECK ((platform) = (select postern.scope_platform()));